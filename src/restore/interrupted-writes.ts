import { opendir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { nameOfTemporary } from '../core/runtime/durable-files.ts';
import { PROBE } from './drop-folder/folder-checks.ts';
import type { MachineParts } from './parts.ts';

/**
 * Removes what a daemon that was killed had written under temporary names. Only names that such a
 * write chooses: the folders are the user's too. The caller holds the lock on the folder, so that
 * none of them is being written (alerts, which come without it, are written once more then).
 */
export async function removeInterruptedWrites(parts: MachineParts): Promise<void> {
  const { folders, journal } = parts;
  const ours: readonly [folder: string, pattern: RegExp][] = [
    [dirname(journal.path), /^stopped\.json$/],
    [dirname(journal.path), /^(left-behind|alerts)\.json$/],
    [folders.previous, /^[0-9a-f]{16}\.json$/],
    [folders.requests, /^[0-9a-f]{16}\.status\.json$/],
    [folders.done, /\.report\.json$/],
    [folders.failed, /\.report\.json$/],
  ];
  for (const [folder, pattern] of ours) await sweep(folder, (name) => pattern.test(name));
  const generations = [basename(journal.path), `${basename(journal.path)}.1`];
  await sweep(dirname(journal.path), (name) => generations.includes(name));
  for (const folder of [dirname(folders.incoming), ...Object.values(folders)]) {
    await sweep(folder, (name) => name === PROBE);
  }
}

/**
 * `isOurs` is asked about the name that the file was to have. Not all names at once: `done/` may hold
 * ten thousand, and what they take stays in a daemon's memory.
 */
async function sweep(folder: string, isOurs: (name: string) => boolean): Promise<void> {
  for await (const { name } of await opendir(folder, { bufferSize: 256 })) {
    const intended = nameOfTemporary(name);
    if (intended !== undefined && isOurs(intended)) await rm(join(folder, name), { force: true });
  }
}
