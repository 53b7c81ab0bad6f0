import { existsSync, linkSync, lstatSync, renameSync, rmSync, unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { DropbackError, messageOf } from '../../../runtime/errors.ts';
import { isNoted } from '../noted.ts';
import type { ReplaceAnswer, ReplaceRequest } from '../protocol.ts';
import { pragma, untilFree } from './connection.ts';
import { inUse, openAlone } from './exclusive.ts';
import { identityAt, syncFolder } from './files.ts';
import { readHeader } from './header.ts';

/**
 * Puts the staged file in the place of the live one by rename(2), the old one staying under its own
 * name. Only where the live file is in WAL mode: there alone it can be proven that nobody has it
 * open, and nobody can go on writing to a file that isn't live any more.
 */
export async function replace(request: ReplaceRequest): Promise<ReplaceAnswer> {
  requireStaged(request);
  if (request.how === 'create') return createLive(request);
  if (request.how === 'damaged') return exchange(request);
  const reason = whyNoRename(request.path);
  if (reason) return { done: false, reason };

  const database = await openAlone(request.path, request.waitMs);
  try {
    const isLocked = await untilFree(request.waitMs, () => {
      database.exec('BEGIN EXCLUSIVE');
      return true;
    });
    // Someone may have put it back into WAL mode between the two.
    if (!isLocked || pragma(database, 'journal_mode') === 'wal') throw inUse(request.path);
    return exchange(request);
  } finally {
    // Held over the rename: whoever opens the old file meanwhile can't do anything with it.
    database.close();
  }
}

function whyNoRename(path: string): string | undefined {
  const file = lstatSync(path);
  if (file.dev !== lstatSync(dirname(path)).dev) return 'the file is mounted by itself';
  if (file.nlink > 1) return 'the file has several names (hard links)';
  if (readHeader(path).journalMode !== 'wal') return 'the database is not in WAL mode';
  return undefined;
}

const SIDE_FILES = ['-wal', '-shm', '-journal'];
const RENAME_IMPOSSIBLE = ['EXDEV', 'EBUSY', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'];

function exchange(request: ReplaceRequest): ReplaceAnswer {
  const { path, staging, previous } = request;
  clearSideFiles(request);
  const old = identityAt(path);
  try {
    linkSync(path, previous);
    syncFolder(dirname(path));
    renameSync(staging, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // The name is ours alone: the link that we made, or that an attempt before a crash made.
    if (old && identityAt(previous)?.identity === old.identity) unlinkSync(previous);
    if (request.how === 'damaged') giveSideFilesBack(path, previous);
    if (code && RENAME_IMPOSSIBLE.includes(code)) return { done: false, reason: messageOf(error) };
    throw error;
  }
  return { done: true, previous: old, warnings: madeDurable(path) };
}

/**
 * Nothing of the old database may lie where SQLite would apply it to the new one. After the proof it
 * holds no data any more: the exclusive lock has rolled back what was hot, and WAL mode is over. What
 * belongs to a damaged file is kept with it.
 */
function clearSideFiles({ path, previous, how }: ReplaceRequest): void {
  for (const suffix of SIDE_FILES) {
    if (how === 'proven') rmSync(path + suffix, { force: true });
    else if (existsSync(path + suffix)) renameSync(path + suffix, previous + suffix);
  }
  syncFolder(dirname(path));
}

function giveSideFilesBack(path: string, previous: string): void {
  for (const suffix of SIDE_FILES) {
    if (existsSync(previous + suffix)) renameSync(previous + suffix, path + suffix);
  }
}

/** Where no file is, link(2) instead of rename(2): one that appeared meanwhile isn't replaced. */
function createLive(request: ReplaceRequest): ReplaceAnswer {
  const { path, staging, previous } = request;
  const warnings = SIDE_FILES.filter((suffix) => existsSync(path + suffix)).map(
    (suffix) => `${path}${suffix} belonged to a database that is gone: now ${previous}${suffix}`,
  );
  clearSideFiles(request);
  try {
    linkSync(staging, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw appeared(path);
    if (!code || !RENAME_IMPOSSIBLE.includes(code)) throw error;
    if (existsSync(path)) throw appeared(path);
    renameSync(staging, path);
  }
  rmSync(staging, { force: true });
  return { done: true, previous: null, warnings: [...warnings, ...madeDurable(path)] };
}

/** After the rename nothing may fail any more: the new database is live. */
function madeDurable(path: string): string[] {
  try {
    syncFolder(dirname(path));
    return [];
  } catch (error) {
    return [`the folder could not be synced after the swap: ${messageOf(error)}`];
  }
}

function requireStaged(request: ReplaceRequest): void {
  if (isNoted(identityAt(request.staging), request.stagingIdentity)) return;
  throw new DropbackError('restore/staging-lost', `${request.staging} is not what was staged`, {
    hint: 'something removed or replaced the staged file; drop the dump again.',
  });
}

function appeared(path: string): DropbackError {
  return new DropbackError('restore/target-appeared', `${path} was created meanwhile`, {
    hint: 'the application seems to have made a new database; drop the file again to replace it.',
  });
}
