import type { UnpackedDrop } from '../../../archive/unpacked.ts';
import { requireProgram } from '../../../runtime/process/find-program.ts';
import { capture, runPipeline } from '../../../runtime/process/pipeline.ts';
import { clientProgram, type PostgresClient } from '../clients.ts';
import {
  CONTROL_TYPES,
  keptEntries,
  parseDependencies,
  parseToc,
  type Toc,
  tocList,
} from '../script/toc.ts';
import { reading } from './full-read.ts';
import { READ_LIMITS } from './limits.ts';

/** Tables of contents of a hundred thousand objects are about 10 MB. */
const MOST_LIST_BYTES = 512 * 1024 * 1024;
/** Done otherwise, or of no account: nobody misses them. */
const SILENT = new Set(['ACL', 'DEFAULT ACL', 'EXTENSION', 'COMMENT', 'SECURITY LABEL', 'SCHEMA']);

export interface ListRules {
  /** Loaded by the load role: extensions are there already, active objects are left out. */
  readonly foreign: boolean;
  /** Schemas that are there already. */
  readonly existingSchemas: readonly string[];
}

export interface EntryList {
  /** For `pg_restore --use-list`. */
  readonly text: string;
  readonly warnings: readonly string[];
}

export async function readToc(
  client: PostgresClient,
  drop: Pick<UnpackedDrop, 'path' | 'fileName'>,
  signal: AbortSignal,
  roles: readonly string[] = [],
): Promise<Toc> {
  return parseToc(await listing(client, drop, ['--list'], signal), { roles });
}

/** For each entry's dump id those of the entries that it needs. */
export async function readDependencies(
  client: PostgresClient,
  drop: Pick<UnpackedDrop, 'path' | 'fileName'>,
  signal: AbortSignal,
): Promise<Map<number, number[]>> {
  return parseDependencies(await listing(client, drop, ['--list', '--verbose'], signal));
}

function listing(
  client: PostgresClient,
  drop: Pick<UnpackedDrop, 'path' | 'fileName'>,
  args: readonly string[],
  signal: AbortSignal,
): Promise<string> {
  const file = clientProgram(client, 'pg_restore');
  const program = {
    name: 'pg_restore',
    file,
    args: [...args, '--', drop.path],
    limits: READ_LIMITS,
  };
  return reading(drop, () => capture(program, { signal }, MOST_LIST_BYTES));
}

/** What of the archive is restored: all of our own, of a foreign one what the load role may do. */
export function entryList(toc: Toc, rules: ListRules): EntryList {
  if (!rules.foreign) return { text: tocList(toc, { types: [] }), warnings: [] };
  const filter = { types: CONTROL_TYPES, schemas: rules.existingSchemas };
  const kept = new Set(keptEntries(toc, filter).map((entry) => entry.dumpId));
  const left = new Map<string, number>();
  for (const { dumpId, type } of toc.entries) {
    if (!kept.has(dumpId) && !SILENT.has(type)) left.set(type, (left.get(type) ?? 0) + 1);
  }
  const warnings = [...left].map(
    ([type, count]) => `left out, create it by hand: ${type.toLowerCase()} (${count})`,
  );
  return { text: tocList(toc, filter), warnings };
}

/** Whether the archive holds rows or large objects. */
export function holdsData(toc: Toc): boolean {
  return toc.entries.some(({ type }) => type === 'TABLE DATA' || type === 'BLOBS');
}

/** Names of tablespaces as the archive's script has them; a few too many are possible. */
export async function readTablespaces(
  client: PostgresClient,
  drop: UnpackedDrop,
  signal: AbortSignal,
): Promise<string[]> {
  const file = clientProgram(client, 'pg_restore');
  const args = ['--schema-only', '--file=-', '--', drop.path];
  const grep = {
    name: 'grep',
    file: requireProgram('grep'),
    args: ['-a', '^SET default_tablespace = '],
    successCodes: [0, 1],
  };
  let printed = '';
  await reading(drop, () =>
    runPipeline([{ name: 'pg_restore', file, args }, grep], {
      signal,
      consume: async (stdout) => {
        for await (const chunk of stdout as AsyncIterable<Buffer>) {
          if (printed.length < MOST_LIST_BYTES) printed += chunk.toString();
        }
      },
    }),
  );
  const values = [...printed.matchAll(/^SET default_tablespace = (.*);$/gm)];
  const names = values.map(([, value = '']) =>
    value.replace(/^"(.*)"$/, '$1').replaceAll('""', '"'),
  );
  return [...new Set(names)].filter((name) => name !== '' && name !== "''");
}
