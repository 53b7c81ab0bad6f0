import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Beside `path`, in the same folder; one that was never used. */
export function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
}

/** The name that a file was to get (with a fixed temporary one too), undefined for any other. */
export function nameOfTemporary(name: string): string | undefined {
  return /^\.(.+?)(\.[0-9a-f]{12})?\.tmp$/s.exec(name)?.[1];
}

/**
 * Writes that survive a power cut: the content is fsynced under a temporary name, renamed, and the
 * folder is fsynced. A reader sees the old file or the new one, never a part.
 */
export async function writeDurably(
  path: string,
  content: string | Uint8Array,
  mode = 0o600,
): Promise<void> {
  const isReplaced = await replace(path, content, mode);
  // Another process that begins just now has swept the temporary file away as one that was left.
  if (!isReplaced && !(await replace(path, content, mode))) {
    throw Object.assign(new Error(`${path}: its temporary file is gone`), { code: 'ENOENT' });
  }
  await syncFolder(dirname(path));
}

/** False where the temporary file has gone before it got its name. */
async function replace(path: string, content: string | Uint8Array, mode: number): Promise<boolean> {
  const temporary = temporaryName(path);
  try {
    await writeAndSync(temporary, content, mode);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  try {
    await rename(temporary, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Creates `path` (it must not exist), writes, fsyncs. The folder's entry is not yet durable. */
export async function writeAndSync(
  path: string,
  content: string | Uint8Array,
  mode = 0o600,
): Promise<void> {
  await using file = await openExclusive(path, mode);
  await file.writeFile(content);
  await file.sync();
}

/** Opens a new file for writing; fails with EEXIST where one (or a link) is already there. */
export function openExclusive(path: string, mode = 0o600): Promise<FileHandle> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  return open(path, flags, mode);
}

/** Makes a file's content durable; for files that a native program has written. */
export async function syncFile(path: string): Promise<void> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  await file.sync();
}

/** Makes creations, renames and removals within a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  await folder.sync();
}

/** rename(2), then fsync of the folder(s) that it changed. */
export async function renameDurably(from: string, to: string): Promise<void> {
  await rename(from, to);
  await syncFolder(dirname(to));
  if (dirname(from) !== dirname(to)) await syncFolder(dirname(from));
}

/** Removes a file (missing is fine) so that it stays removed. */
export async function removeDurably(path: string): Promise<void> {
  await rm(path, { force: true });
  await syncFolder(dirname(path));
}

/**
 * Creates a folder and its parents; existing ones keep their mode and owner, and others may make the
 * same at the same time. Not Node's recursive mkdir: where a file system answers ENOENT below a folder
 * that exists (/proc), it never returns. Whether it was made.
 */
export async function ensureFolder(path: string, mode = 0o700): Promise<boolean> {
  try {
    return await makeFolder(path, mode);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' || dirname(path) === path) throw error;
  }
  await ensureFolder(dirname(path), mode);
  return await makeFolder(path, mode);
}

async function makeFolder(path: string, mode: number): Promise<boolean> {
  try {
    await mkdir(path, { mode });
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EEXIST' || !(await isFolder(path))) throw error;
    return false;
  }
}

async function isFolder(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
