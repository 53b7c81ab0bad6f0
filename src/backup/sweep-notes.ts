import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { nameOfTemporary } from '../core/runtime/durable-files.ts';

/**
 * Removes what a process that was killed while it wrote has left: the folder is our own, and so are all
 * notes in it. Whoever else is writing one right now writes it once more (`writeDurably`). Throws what the
 * file system says.
 */
export async function sweepNotes(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!nameOfTemporary(name)?.endsWith('.json')) continue;
    await rm(join(folder, name), { force: true });
  }
}
