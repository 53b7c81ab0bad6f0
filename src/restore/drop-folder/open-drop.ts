import { constants } from 'node:fs';
import { chown, type FileHandle, open } from 'node:fs/promises';
import { DropbackError } from '../../core/runtime/errors.ts';
import { signatureOf, typeOf } from './scan.ts';

/** open(2) on Linux: names the file without the right to read it. node:fs has no name for it. */
const O_PATH = 0o10000000;

/**
 * Opens a regular file that has one name, as the scan saw it (`signature`): without following
 * links, without waiting for a FIFO's other end. One that its owner alone may read (`sudo cp` of a
 * backup, which is 0600) becomes ours where the daemon has CAP_CHOWN, as the image gives it. Errors:
 * `drop/changed` (retryable), `drop/not-a-file`, `drop/hard-link`, `drop/not-readable`.
 */
export async function openDrop(path: Buffer, signature: string): Promise<FileHandle> {
  try {
    return await openPlain(path, signature, constants.O_RDONLY);
  } catch (error) {
    if (!(error instanceof DropbackError) || error.code !== 'drop/not-readable') throw error;
    if (!(await becameOurs(path, signature))) throw error;
    return await openPlain(path, signature, constants.O_RDONLY);
  }
}

/**
 * Gives the file to this process's user; false where that may not be. What is looked at is what is
 * changed: the owner of the very file that is held open, whatever its name means by then. A file
 * with a second name may be somebody else's, and is never given away.
 */
export async function becameOurs(path: Buffer, signature: string): Promise<boolean> {
  const [uid, gid] = [process.geteuid?.(), process.getegid?.()];
  if (process.platform !== 'linux' || uid === undefined || gid === undefined) return false;
  await using file = await openPlain(path, signature, O_PATH);
  if ((await file.stat()).uid === uid) return false;
  // An O_PATH descriptor takes no fchown; its entry in /proc stands for the file itself.
  return await chown(`/proc/self/fd/${file.fd}`, uid, gid).then(
    () => true,
    () => false,
  );
}

async function openPlain(path: Buffer, signature: string, how: number): Promise<FileHandle> {
  const flags = how | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await openOrExplain(path, flags);
  try {
    const stats = await file.stat({ bigint: true });
    if (!stats.isFile()) throw notAFile(typeOf(stats));
    if (stats.nlink !== 1n) throw hardLink(Number(stats.nlink));
    if (signatureOf(stats) !== signature) throw changed();
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function openOrExplain(path: Buffer, flags: number): Promise<FileHandle> {
  try {
    return await open(path, flags);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw changed();
    if (code === 'ELOOP' || code === 'EMLINK') throw notAFile('a symbolic link');
    if (code === 'ENXIO' || code === 'ENODEV') throw notAFile('a socket or a device');
    if (code === 'EACCES' || code === 'EPERM') throw notReadable(error);
    throw error;
  }
}

export function notAFile(type: string): DropbackError {
  return new DropbackError('drop/not-a-file', `what was dropped is ${type}, not a file`, {
    hint: 'copy the dump itself into the folder.',
  });
}

export function hardLink(links: number): DropbackError {
  return new DropbackError('drop/hard-link', `the file has ${links} names (hard links)`, {
    hint: 'copy the file instead of linking it: nobody else may be able to change it.',
  });
}

/** In a sticky folder whatever another user put there only that user may move. */
export function notMovable(cause: unknown): DropbackError {
  return new DropbackError(
    'drop/not-movable',
    'the daemon may not move the file out of the drop folder',
    {
      hint: 'give the folder to the user that the daemon runs as (PUID and PGID), or take its sticky bit away: chmod -t. The file stays where it is, and is not taken up again unless it changes.',
      cause,
    },
  );
}

export function isDenied(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'EACCES' || code === 'EPERM';
}

export function changed(): DropbackError {
  return new DropbackError('drop/changed', 'the file changed while it was being claimed', {
    hint: 'nothing to do: it is taken as soon as it stays unchanged.',
    retryable: true,
  });
}

function notReadable(cause: unknown): DropbackError {
  return new DropbackError('drop/not-readable', 'the daemon may not read the file', {
    hint: 'make it readable for the user that the daemon runs as (PUID and PGID): chmod a+r.',
    cause,
  });
}
