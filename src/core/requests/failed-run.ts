import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureFolder, writeDurably } from '../runtime/durable-files.ts';
import { type FailedRun, readBackupStatus } from './backup-status.ts';

/** Apart from the daemon's status, which it replaces whole: `dropback backup` writes it too. */
const FAILED_RUN_FILE = 'last-failure.json';

/** For every process that prunes. `folder`: `ownFolder`. Throws what the file system says. */
export async function noteFailedRun(folder: string, failure: FailedRun): Promise<void> {
  await ensureFolder(folder);
  await writeDurably(join(folder, FAILED_RUN_FILE), `${JSON.stringify(failure, null, 2)}\n`);
}

/** A backup was made: the failure that is noted is over. Throws what the file system says. */
export async function noteResolved(folder: string, id: string): Promise<void> {
  const known = await readFailedRun(folder);
  if (!known || known.resolvedBy !== undefined) return;
  await noteFailedRun(folder, { ...known, resolvedBy: id });
}

/** The latest run that failed, of whichever process; the note knows, whatever the clock said. */
export async function readFailedRun(folder: string): Promise<FailedRun | undefined> {
  return (await readNote(folder)) ?? (await readBackupStatus(folder))?.lastFailure;
}

async function readNote(folder: string): Promise<FailedRun | undefined> {
  try {
    const note = JSON.parse(await readFile(join(folder, FAILED_RUN_FILE), 'utf8'));
    return Number.isNaN(Date.parse(note?.at)) || !note.error ? undefined : note;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'EACCES' || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
