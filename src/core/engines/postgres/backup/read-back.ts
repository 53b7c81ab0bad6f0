import { constants, open } from 'node:fs/promises';
import type { TableCount } from '../../../archive/manifest.ts';
import { storedFileProblems } from '../../../encryption/stored-file.ts';
import { DropbackError } from '../../../runtime/errors.ts';
import { sha256Of } from '../../../runtime/process/sha256.ts';
import { together } from '../../../runtime/together.ts';
import type { Dump, ReadBack } from '../../engine.ts';
import { EXTENSION_TABLES, LARGE_OBJECTS, TABLES_EXPECTED } from './dump-description.ts';
import { type ArchiveScan, scanArchive } from './read-back-scan.ts';

const MOST_DIFFERENCES = 100;

/**
 * Reads the archive back whole and compares it with what was dumped: size and checksum of the file,
 * rows of each table, large objects, size of the content. The content of an encrypted one is what
 * was read of it on its way into the encryption; of its file the header is looked at.
 */
export async function readBackArchive(
  path: string,
  dump: Dump,
  signal: AbortSignal,
): Promise<ReadBack> {
  const [file, scan] = await together(
    signal,
    (joint) => fingerprint(path, joint),
    (joint) => contentOf(path, dump, joint),
  );
  const { encryption } = dump.archive;
  const differences = [
    ...fileDifferences(file, dump),
    ...(encryption ? await storedFileProblems(path, encryption.recipients.length) : []),
    ...contentDifferences(scan, dump),
  ];
  if (differences.length > 0) throw mismatch(differences);
  return { tables: ownTables(scan, dump), contentBytes: scan.contentBytes };
}

async function contentOf(path: string, dump: Dump, signal: AbortSignal): Promise<ArchiveScan> {
  if (!dump.archive.encryption) return await scanArchive(path, dump, signal);
  const { tables, largeObjects, contentBytes } = dump.readOnTheWay ?? {};
  if (tables && largeObjects !== undefined && contentBytes !== undefined) {
    return { tables, largeObjects, contentBytes };
  }
  throw new DropbackError('archive/unreadable', 'an encrypted archive that was not read before', {
    hint: 'only what is read on its way into the encryption can be checked here.',
  });
}

interface Fingerprint {
  readonly bytes: number;
  readonly sha256: string;
}

async function fingerprint(path: string, signal: AbortSignal): Promise<Fingerprint> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  const sha256 = await sha256Of([], { signal, stdinFd: file.fd });
  return { bytes: (await file.stat()).size, sha256 };
}

function fileDifferences(file: Fingerprint, dump: Dump): string[] {
  const { bytes, sha256 } = dump.archive;
  const differences: string[] = [];
  if (file.bytes !== bytes) {
    differences.push(`the file has ${file.bytes} bytes, ${bytes} were written`);
  }
  if (file.sha256 !== sha256)
    differences.push('the sha256 of the file is not that of what was written');
  return differences;
}

function contentDifferences(scan: ArchiveScan, dump: Dump): string[] {
  const differences: string[] = [];
  if (scan.contentBytes !== dump.archive.contentBytes) {
    const { contentBytes } = dump.archive;
    differences.push(`the content has ${scan.contentBytes} bytes, ${contentBytes} were written`);
  }
  const objects = dump.database.properties[LARGE_OBJECTS];
  if (typeof objects === 'number' && scan.largeObjects !== objects) {
    differences.push(`${scan.largeObjects} large objects, ${objects} in the database`);
  }
  return [...differences, ...tableDifferences(ownTables(scan, dump), dump)];
}

function tableDifferences(found: readonly TableCount[], dump: Dump): string[] {
  const counted = dump.database.properties[TABLES_EXPECTED];
  if (counted === null) return [];
  if (counted !== undefined) {
    const isSame = found.length === counted;
    return isSame ? [] : [`rows of ${found.length} tables, ${counted} in the database`];
  }
  const inArchive = new Map(found.map((table) => [key(table), table]));
  const differences: string[] = [];
  for (const table of dump.tables) {
    const rows = inArchive.get(key(table))?.rows ?? 0;
    inArchive.delete(key(table));
    if (rows !== table.rows)
      differences.push(difference(table, rows, `${table.rows} rows counted`));
  }
  for (const table of inArchive.values()) {
    differences.push(difference(table, table.rows, 'not counted at all'));
  }
  return differences;
}

function difference(table: TableCount, rows: number, counted: string): string {
  return `${table.schema}.${table.name}: ${rows} rows in the archive, ${counted} in the database`;
}

/** Without the tables of extensions: a dump holds a part of their rows only, if any. */
function ownTables(scan: ArchiveScan, dump: Dump): TableCount[] {
  const json = dump.database.properties[EXTENSION_TABLES];
  const foreign = typeof json === 'string' ? (JSON.parse(json) as TableCount[]) : [];
  const skipped = new Set(foreign.map((table) => key(table)));
  return scan.tables.filter((table) => !skipped.has(key(table)));
}

function key({ schema, name }: { schema: string; name: string }): string {
  return JSON.stringify([schema, name]);
}

function mismatch(differences: readonly string[]): DropbackError {
  const more = differences.length > 1 ? ` (and ${differences.length - 1} more)` : '';
  return new DropbackError(
    'backup/read-back-mismatch',
    `the archive is not what was dumped: ${differences[0]}${more}`,
    {
      hint: 'the archive is not used. Run the backup again; if it happens again, check disk and memory.',
      facts: {
        differences: differences.slice(0, MOST_DIFFERENCES),
        total: differences.length,
      },
    },
  );
}
