import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DropbackError } from '../../core/runtime/errors.ts';
import { noCheckpoint } from '../checkpoint.ts';
import { Journal } from '../journal/journal.ts';
import { lookAt } from './scan.ts';

/**
 * Throws `restore/unfinished-elsewhere` where a restore that a daemon set up otherwise has begun
 * (without DATABASES_FILE, with it, or with an entry that is gone) is still to be finished: nobody
 * else would bring its containers back. `names`: those of DATABASES_FILE.
 */
export async function refuseUnfinished(
  stateFile: string,
  names?: readonly string[],
): Promise<void> {
  const state = join(dirname(stateFile), 'state');
  const elsewhere = (await foldersIn(state)).filter((name) => !names?.includes(name));
  const journals = elsewhere.map((name) => join(state, name, basename(stateFile)));
  if (names) journals.push(stateFile);
  for (const journal of journals) {
    if (!(await isUnfinished(journal))) continue;
    throw new DropbackError(
      'restore/unfinished-elsewhere',
      `a restore that ${journal} belongs to is not finished`,
      {
        hint: 'start db-restore once more with the DATABASES_FILE (or without it) that it had then, until that restore is finished; then change it.',
        facts: { journal },
      },
    );
  }
}

async function foldersIn(path: string): Promise<string[]> {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

async function isUnfinished(path: string): Promise<boolean> {
  if (await lookAt(join(dirname(path), 'stopped.json'))) return true;
  if (!(await lookAt(path))) return false;
  const journal = new Journal(path, noCheckpoint);
  const condition = await journal.load();
  return condition.kind === 'unusable' || condition.body.record !== null;
}
