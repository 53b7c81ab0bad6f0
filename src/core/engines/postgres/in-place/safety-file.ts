import { lstat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { sha256OfFile } from '../../../runtime/process/sha256.ts';
import type { PreviousDatabase } from '../../engine.ts';

/** Where the safety dump of a restore lies; `.partial` until it is whole and durable. */
export interface SafetyPaths {
  readonly final: string;
  readonly partial: string;
}

export function safetyPaths(folder: string, id: string): SafetyPaths {
  if (!/^[0-9a-f]{16}$/.test(id)) throw new RangeError(`not an id: ${id}`);
  const final = join(folder, `${id}.dump`);
  return { final, partial: `${final}.partial` };
}

/** The id in the name of what only a running restore needs; undefined for everything else. */
export function parseUnfinished(name: string): string | undefined {
  return /^([0-9a-f]{16})\.dump\.(?:partial|list)$/.exec(name)?.[1];
}

/** Size in bytes of a kept safety dump; undefined where there is none, or something else. */
export async function measureSafety(
  folder: string,
  previous: PreviousDatabase,
): Promise<number | undefined> {
  if (!isSafety(previous)) return undefined;
  try {
    const stats = await lstat(safetyPaths(folder, previous.id).final);
    return stats.isFile() ? stats.size : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * Name and id belong together: nothing else is ever removed. Where it lies now is known by its id
 * alone, since the folder may be mounted elsewhere than when it was kept.
 */
export function isSafety({ id, name }: PreviousDatabase): boolean {
  return /^[0-9a-f]{16}$/.test(id) && basename(name) === `${id}.dump`;
}

/** `sha256:` and the checksum of the whole file. */
export async function identify(path: string, signal: AbortSignal): Promise<string> {
  return `sha256:${await sha256OfFile(path, signal)}`;
}
