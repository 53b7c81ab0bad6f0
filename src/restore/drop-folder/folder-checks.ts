import { access, constants, rm, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { CheckResult } from '../../core/engines/engine.ts';
import { syncFolder, temporaryName, writeAndSync } from '../../core/runtime/durable-files.ts';
import { messageOf, throwIfAborted } from '../../core/runtime/errors.ts';
import type { Folders } from './folders.ts';

/** What the files are called, before they get a temporary name, that are written to try it. */
export const PROBE = 'dropback-probe';
/** Below this a restore of anything is likely to fail half way. Bytes. */
const LITTLE_SPACE = 256 * 1024 ** 2;

/** Whether the drop folder and its siblings can be written, by really writing; free space. */
export async function folderChecks(folders: Folders, signal: AbortSignal): Promise<CheckResult[]> {
  const root = dirname(folders.incoming);
  if ((await kindOf(root)) === 'missing') return [await missing(root)];
  const results: CheckResult[] = [];
  // Those that aren't there yet are made by the daemon in one that is.
  for (const folder of new Set([root, ...Object.values(folders)])) {
    throwIfAborted(signal);
    const kind = await kindOf(folder);
    if (kind === 'missing') continue;
    const problem = kind === 'folder' ? await problemOf(folder) : 'it is not a folder';
    if (problem !== undefined) results.push(notWritable(folder, problem));
  }
  if (results.length === 0) {
    results.push({ id: 'folders/writable', status: 'ok', message: `${root} can be written` });
  }
  return [...results, ...(await spaceChecks(root))];
}

async function missing(root: string): Promise<CheckResult> {
  const id = 'folders/writable';
  const isMade = await access(dirname(root), constants.W_OK).then(
    () => true,
    () => false,
  );
  const message = `${root} does not exist yet`;
  if (isMade) return { id, status: 'ok', message: `${message}: db-restore makes it` };
  return {
    id,
    status: 'failed',
    message,
    hint: `mount a volume at ${root}: drops, reports and the journal lie there.`,
  };
}

function notWritable(folder: string, problem: string): CheckResult {
  return {
    id: 'folders/writable',
    status: 'failed',
    message: `${folder} can't be written: ${problem}`,
    hint: 'make it a folder that the user of db-restore (PUID and PGID) may write to.',
  };
}

async function kindOf(path: string): Promise<'folder' | 'missing' | 'other'> {
  try {
    return (await stat(path)).isDirectory() ? 'folder' : 'other';
  } catch {
    return 'missing';
  }
}

async function problemOf(folder: string): Promise<string | undefined> {
  try {
    const probe = temporaryName(join(folder, PROBE));
    await writeAndSync(probe, 'probe');
    await rm(probe, { force: true });
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
    const message = `${(free / 1e9).toFixed(1)} GB free on the volume of ${root}`;
    const id = 'folders/free-space';
    if (free >= LITTLE_SPACE) return [{ id, status: 'ok', message }];
    return [{ id, status: 'warning', message, hint: 'a drop is decompressed there: make room.' }];
  } catch {
    return [];
  }
}
