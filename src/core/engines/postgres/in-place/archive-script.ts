import { rm } from 'node:fs/promises';
import { requireProgram } from '../../../runtime/process/find-program.ts';
import type { Program } from '../../../runtime/process/program.ts';
import { clientProgram, type PostgresClient } from '../clients.ts';
import { writeList } from '../restore/list-file.ts';
import type { Toc, TocFilter } from '../script/toc.ts';

/** Entries that are rows and contents, not objects. */
const CONTENTS = [
  'TABLE DATA',
  'BLOBS',
  'SEQUENCE SET',
  'MATERIALIZED VIEW DATA',
  'STATISTICS DATA',
];
const TIMEOUT_LINE = '^SET transaction_timeout = 0;$';

/** What is in the live database already and stays there. */
export interface Kept {
  readonly extensions: readonly string[];
  /** Schemas that hold extensions. */
  readonly schemas: readonly string[];
}

export interface ArchiveSource {
  readonly path: string;
  readonly toc: Toc;
  readonly client: PostgresClient;
  readonly tablespaces: boolean;
  readonly serverMajor: number;
}

/** Programs that print one part of an archive as a script, and the list that they read. */
export interface ScriptPart extends AsyncDisposable {
  readonly programs: readonly Program[];
}

/**
 * The statements that drop everything the archive knows of, in the order that pg_dump chooses: all that `--clean` prints before the first object is created.
 */
export function dropsOf(source: ArchiveSource, kept: Kept, listFile: string): Promise<ScriptPart> {
  const list = { types: [...CONTENTS, 'EXTENSION'], schemas: kept.schemas };
  const edits = ['/^-- Name: /,$d', '1,/^\\\\restrict /{/^\\\\restrict /d;}'];
  return part(source, ['--clean', '--if-exists'], list, edits, listFile);
}

/** Everything but the bytes of large objects. */
export function objectsOf(
  source: ArchiveSource,
  kept: Kept,
  listFile: string,
): Promise<ScriptPart> {
  const list: TocFilter = {
    types: ['BLOBS'],
    schemas: kept.schemas,
    // Only their owners may comment on extensions; those that are there have their comment.
    also: ({ type, name }) =>
      (type === 'EXTENSION' && kept.extensions.includes(name)) ||
      (type === 'COMMENT' && kept.extensions.some((one) => name === `EXTENSION ${one}`)),
  };
  return part(source, [], list, [], listFile);
}

/**
 * The bytes of large objects, which pg_restore wraps in transactions of their own; between them
 * are lines of its own making alone, so that their ends can be taken out by line.
 */
export function largeObjectsOf(source: ArchiveSource, listFile: string): Promise<ScriptPart> {
  const list: TocFilter = { types: [], also: ({ type }) => type !== 'BLOBS' };
  return part(source, [], list, ['/^BEGIN;$/d', '/^COMMIT;$/d'], listFile);
}

export function hasLargeObjects(toc: Toc): boolean {
  return toc.types.has('BLOBS');
}

async function part(
  source: ArchiveSource,
  options: readonly string[],
  list: TocFilter,
  edits: readonly string[],
  listFile: string,
): Promise<ScriptPart> {
  await writeList(listFile, source.toc, list);
  const args = [...options, `--use-list=${listFile}`, '--file=-'];
  if (!source.tablespaces) args.push('--no-tablespaces');
  const file = clientProgram(source.client, 'pg_restore');
  const programs: Program[] = [
    { name: 'pg_restore', file, args: [...args, '--', source.path] },
    ...editor([...edits, ...forOldServers(source)]),
  ];
  return { programs, [Symbol.asyncDispose]: () => rm(listFile, { force: true }) };
}

/** pg_restore sets what servers before 17 don't know, once, at the beginning. */
function forOldServers({ client, serverMajor }: ArchiveSource): string[] {
  if (client.major < 17 || serverMajor >= 17) return [];
  return [`1,/${TIMEOUT_LINE}/{/${TIMEOUT_LINE}/d;}`];
}

function editor(edits: readonly string[]): Program[] {
  if (edits.length === 0) return [];
  const args = edits.flatMap((edit) => ['-e', edit]);
  return [{ name: 'sed', file: requireProgram('sed'), args, environment: { LC_ALL: 'C' } }];
}
