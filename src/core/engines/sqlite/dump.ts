import { randomBytes } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { DropbackError } from '../../runtime/errors.ts';
import { together } from '../../runtime/together.ts';
import type { Dump, DumpRequest } from '../engine.ts';
import { type WrittenArchive, writeArchive } from './dump-archive.ts';
import { copyPrefix } from './names.ts';
import type { Location } from './owner.ts';
import type { ContentFacts, CopyAnswer } from './protocol.ts';
import type { SqliteTool } from './tool-client.ts';
import { warningsOf } from './warnings.ts';

/** How long a copy waits for a writer that holds a rollback-journal database. */
const BUSY_MS = 60_000;

/**
 * Copy, then check and compress. The copy lies in a private folder: beside the spool where the daemon is the
 * file's owner, else beside the database, the one place that is surely the owner's to write in. With
 * recipients always there: what it holds lies there unencrypted anyway, and nowhere else.
 */
export async function dump(
  tool: SqliteTool,
  location: Location,
  recipients: readonly string[],
  request: DumpRequest,
  signal: AbortSignal,
): Promise<Dump> {
  const { path, runAs } = location;
  const parent = runAs || recipients.length > 0 ? location.folder : dirname(request.spool);
  const prefix = copyPrefix(location.base);
  const folder = join(parent, `${prefix}${randomBytes(8).toString('hex')}`);
  const options = { runAs, signal, nice: request.nice, temporaryFolder: parent };
  // The caller holds the lock: what another backup left behind is nobody's any more.
  const left = await tool.ask('list', { folder: parent, prefix }, options);
  const remove = (paths: string[]) =>
    tool.ask('remove', { paths }, { runAs, signal: new AbortController().signal });
  if (left.length > 0) await remove(left.map(({ name }) => join(parent, name)));
  try {
    const copied = await tool.ask('copy', { from: path, folder, busyMs: BUSY_MS }, options);
    // One reads on one processor, the other compresses: both at a time.
    const [content, written] = await together(
      signal,
      async (joint) => {
        const inspect = { ...options, signal: joint };
        const found = await tool.ask('inspect', { path: copied.copy }, inspect);
        requireSound(found, path);
        return found;
      },
      (joint) => writeArchive(copied, { runAs, recipients }, request, joint),
    );
    return describe(location, { ...copied, ...content }, written, request);
  } finally {
    // Swept by the next backup, if need be: what went wrong before must not be hidden by this.
    await remove([folder]).catch((error: unknown) =>
      request.log.warn({ error, folder }, 'the private copy could not be removed'),
    );
  }
}

function requireSound({ damage }: ContentFacts, path: string): void {
  if (damage.length === 0) return;
  throw new DropbackError('backup/source-corrupt', `${path} is damaged: ${damage[0]}`, {
    hint: 'stop the application, keep a copy of the file with its -wal, and restore the last good backup or try `sqlite3 FILE .recover`. Earlier backups are kept.',
    facts: { path, damage: damage.slice(0, 20) },
  });
}

function describe(
  location: Location,
  copied: CopyAnswer & ContentFacts,
  { archive, readOnTheWay }: WrittenArchive,
  request: DumpRequest,
): Dump {
  const { source } = copied;
  const warnings = warningsOf(copied);
  if (request.excludeTableData.length > 0) {
    warnings.push(
      'BACKUP_EXCLUDE_TABLE_DATA has no effect on SQLite: every table is in the backup',
    );
  }
  if (archive.compression === 'none') {
    warnings.push('the program zstd is not installed: the backup is not compressed');
  }
  return {
    snapshotAt: copied.snapshotAt,
    archive,
    ...(readOnTheWay ? { readOnTheWay } : {}),
    database: {
      name: basename(location.path),
      version: source.sqliteVersion,
      sizeBytes: source.pages * source.pageSize,
      properties: {
        pageSize: copied.pageSize,
        encoding: copied.encoding,
        journalMode: source.journalMode,
        userVersion: copied.userVersion,
        applicationId: copied.applicationId,
      },
      notValid: copied.foreignKeys.map(({ table, parent }) => `main.${table}.${parent}`),
    },
    tool: { name: 'sqlite', version: source.sqliteVersion },
    tables: copied.tables,
    roles: [],
    extensions: [],
    warnings,
  };
}
