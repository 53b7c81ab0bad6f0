import type { Readable } from 'node:stream';
import type { UnpackedDrop } from '../../../archive/unpacked.ts';
import { requireProgram } from '../../../runtime/process/find-program.ts';
import { capture, runPipeline } from '../../../runtime/process/pipeline.ts';
import type { Program } from '../../../runtime/process/program.ts';
import { clientProgram, type PostgresClient } from '../clients.ts';
import { Listing } from '../script/listing.ts';
import {
  CONTROL_TYPES,
  keeping,
  parseDependencies,
  type Toc,
  type TocFilter,
  TocReader,
} from '../script/toc.ts';
import { reading } from './full-read.ts';
import { READ_LIMITS } from './limits.ts';

/** Of our own archives: one large object may be one entry. */
const MOST_OWN_BYTES = 512 * 1024 * 1024;
/** Done otherwise, or of no account: nobody misses them. */
const SILENT = new Set(['ACL', 'DEFAULT ACL', 'EXTENSION', 'COMMENT', 'SECURITY LABEL', 'SCHEMA']);

export interface ListRules {
  /** Loaded by the load role: extensions are there already, active objects are left out. */
  readonly foreign: boolean;
  /** Schemas that are there already. */
  readonly existingSchemas: readonly string[];
}

export interface TocNeeds {
  /** An archive of our own: it may be larger. */
  readonly isOurs: boolean;
  /** They help to divide names. */
  readonly roles?: readonly string[];
}

/** The table of contents. Throws `drop/too-many-objects` for one that can't be held. */
export async function readToc(
  client: PostgresClient,
  drop: Pick<UnpackedDrop, 'path' | 'fileName'>,
  { isOurs, roles = [] }: TocNeeds,
  signal: AbortSignal,
): Promise<Toc> {
  const listing = isOurs ? new Listing(MOST_OWN_BYTES) : new Listing();
  const reader = new TocReader(listing, { roles });
  const consume = async (stdout: Readable) => {
    for await (const chunk of stdout as AsyncIterable<Buffer>) reader.push(chunk);
  };
  const program = lister(client, drop, ['--list']);
  await reading(drop, () => runPipeline([program], { signal, consume }));
  return reader.end();
}

/** For each entry's dump id those of the entries that it needs. */
export async function readDependencies(
  client: PostgresClient,
  drop: Pick<UnpackedDrop, 'path' | 'fileName'>,
  signal: AbortSignal,
): Promise<Map<number, number[]>> {
  const program = lister(client, drop, ['--list', '--verbose']);
  const listing = await reading(drop, () => capture(program, { signal }, MOST_OWN_BYTES));
  return parseDependencies(listing);
}

function lister(
  client: PostgresClient,
  { path }: Pick<UnpackedDrop, 'path'>,
  args: readonly string[],
): Program {
  const file = clientProgram(client, 'pg_restore');
  return { name: 'pg_restore', file, args: [...args, '--', path], limits: READ_LIMITS };
}

/** What of the archive is restored: all of our own, of a foreign one what the load role may do. */
export function entryFilter(rules: ListRules): TocFilter {
  if (!rules.foreign) return { types: [] };
  return { types: CONTROL_TYPES, schemas: rules.existingSchemas };
}

/** For people: what of a foreign archive is not restored, and nobody else restores. */
export function leftOutOf(toc: Toc, filter: TocFilter): string[] {
  const isKept = keeping(filter);
  const left = new Map<string, number>();
  for (const entry of toc.entries) {
    const { type } = entry;
    if (!SILENT.has(type) && !isKept(entry)) left.set(type, (left.get(type) ?? 0) + 1);
  }
  return [...left].map(
    ([type, count]) => `left out, create it by hand: ${type.toLowerCase()} (${count})`,
  );
}

/** Whether the archive holds rows or large objects. */
export function holdsData({ types }: Toc): boolean {
  return types.has('TABLE DATA') || types.has('BLOBS');
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
          if (printed.length < MOST_OWN_BYTES) printed += chunk.toString();
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
