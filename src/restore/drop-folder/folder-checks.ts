import { randomBytes } from 'node:crypto';
import { access, constants, rm, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { CheckResult } from '../../core/engines/engine.ts';
import { syncFolder, writeAndSync } from '../../core/runtime/durable-files.ts';
import { messageOf, throwIfAborted } from '../../core/runtime/errors.ts';
import type { Folders } from './folders.ts';

/** Below this a restore of anything is likely to fail half way. Bytes. */
const LITTLE_SPACE = 256 * 1024 ** 2;

/** Whether the drop folder and its siblings can be written, by really writing; free space. */
export async function folderChecks(folders: Folders, signal: AbortSignal): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  for (const folder of new Set([dirname(folders.incoming), ...Object.values(folders)])) {
    throwIfAborted(signal);
    const problem = await problemOf(folder);
    if (problem !== undefined) {
      results.push({
        id: 'folders/writable',
        status: 'failed',
        message: `${folder} can't be written: ${problem}`,
        hint: 'create it, or make it writable, for the user that db-restore runs as (PUID and PGID).',
      });
    }
  }
  const root = dirname(folders.incoming);
  if (results.length === 0) {
    results.push({ id: 'folders/writable', status: 'ok', message: `${root} can be written` });
  }
  return [...results, ...(await spaceChecks(root))];
}

/** Folders that aren't there yet are made by the daemon: then their parent counts. */
async function problemOf(folder: string): Promise<string | undefined> {
  const isThere = await stat(folder).then(
    (found) => found.isDirectory(),
    () => false,
  );
  try {
    if (!isThere) return await access(dirname(folder), constants.W_OK).then(() => undefined);
    const probe = join(folder, `.dropback-probe-${randomBytes(6).toString('hex')}.tmp`);
    await writeAndSync(probe, 'probe');
    await rm(probe);
    await syncFolder(folder);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

async function spaceChecks(root: string): Promise<CheckResult[]> {
  try {
    const { bavail, bsize } = await statfs(root);
    const free = bavail * bsize;
    const message = `${Math.floor(free / 1e6)} MB free on the volume of ${root}`;
    const id = 'folders/free-space';
    if (free >= LITTLE_SPACE) return [{ id, status: 'ok', message }];
    return [{ id, status: 'warning', message, hint: 'a drop is decompressed there: make room.' }];
  } catch {
    return [];
  }
}
