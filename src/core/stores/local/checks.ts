import { randomBytes } from 'node:crypto';
import { readFile, rm, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { CheckResult } from '../../engines/engine.ts';
import { ensureFolder, syncFolder, writeAndSync } from '../../runtime/durable-files.ts';
import { throwIfAborted, toDropbackError } from '../../runtime/errors.ts';

/** Below this, a volume counts as nearly full. */
const LITTLE_SPACE_BYTES = 1024 ** 3;

/** Writes, reads and deletes a probe file, and looks at the free space. */
export async function localChecks(folder: string, signal: AbortSignal): Promise<CheckResult[]> {
  throwIfAborted(signal);
  const writable = await probe(folder);
  return writable.status === 'ok' ? [writable, await spaceCheck(folder)] : [writable];
}

async function probe(folder: string): Promise<CheckResult> {
  const id = 'local/writable';
  const path = join(folder, `.dropback-probe-${randomBytes(6).toString('hex')}`);
  try {
    await ensureFolder(folder);
    await writeAndSync(path, 'probe');
    const read = await readFile(path, 'utf8');
    await rm(path);
    await syncFolder(folder);
    if (read === 'probe') return { id, status: 'ok', message: `${folder} is writable` };
    return {
      id,
      status: 'failed',
      message: `${folder} gives back something else than was written`,
    };
  } catch (error) {
    await rm(path, { force: true }).catch(() => {});
    const known = toDropbackError(error);
    return { id, status: 'failed', message: known.message, hint: known.hint };
  }
}

async function spaceCheck(folder: string): Promise<CheckResult> {
  const id = 'local/space';
  const free = await freeBytesAt(folder);
  if (free === undefined) {
    return { id, status: 'warning', message: `free space of ${folder} cannot be told` };
  }
  const message = `${(free / 1e9).toFixed(1)} GB free in ${folder}`;
  if (free >= LITTLE_SPACE_BYTES) return { id, status: 'ok', message };
  return { id, status: 'warning', message, hint: 'make the volume larger, or keep fewer backups.' };
}

/**
 * Bytes that an unprivileged process may still write on the volume of `path` (or of its nearest
 * parent that exists); undefined where the file system doesn't tell.
 */
export async function freeBytesAt(path: string): Promise<number | undefined> {
  for (let at = path; ; at = dirname(at)) {
    try {
      const { bavail, bsize, blocks } = await statfs(at);
      return blocks === 0 ? undefined : bavail * bsize;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code !== 'ENOENT' || at === dirname(at)) return undefined;
    }
  }
}
