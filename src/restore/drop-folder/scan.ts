import type { BigIntStats } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import type { Folders } from './folders.ts';

export type DropMode = 'restore' | 'check';

/** An entry of the drop folder whose name is a dump's, as it was when it was looked at. */
export interface Sighting {
  /** As `listDropFolder` calls it. */
  readonly key: string;
  /** Path as bytes: names need not be UTF-8. */
  readonly path: Buffer;
  readonly rawName: Buffer;
  readonly mode: DropMode;
  readonly force: boolean;
  readonly isFile: boolean;
  /** For messages: `a folder`, `a symbolic link`. */
  readonly type: string;
  readonly bytes: number;
  /** When it was written, or got its name, last (ctime): unlike the mtime, no copy keeps it. */
  readonly arrivedMs: number;
  /** Which file it is, whatever its content. */
  readonly identity: string;
  /** Changes whenever the file does; also its identity. */
  readonly signature: string;
}

const CHECK = 'check/';

/**
 * What lies in `incoming/` now, and, beginning with `check/`, in `incoming/check/`: names of one
 * character a byte (latin1), since they need not be UTF-8.
 */
export async function listDropFolder(folders: Folders): Promise<string[]> {
  const keys = await readdir(folders.incoming, { encoding: 'latin1' });
  // Whoever may drop files could make a link of it: nothing is taken from where that leads.
  if ((await lookAt(folders.check))?.isDirectory()) {
    const names = await readdir(folders.check, { encoding: 'latin1' });
    for (const name of names) keys.push(CHECK + name);
  }
  return keys.filter((key) => key !== 'check');
}

/** The name of a listed entry, as bytes. */
export function rawNameOf(key: string): Buffer {
  return Buffer.from(modeOf(key) === 'check' ? key.slice(CHECK.length) : key, 'latin1');
}

/** Looks at a listed entry, following no link; undefined for what has gone in the meantime. */
export async function sight(
  folders: Folders,
  key: string,
  force: boolean,
): Promise<Sighting | undefined> {
  const mode = modeOf(key);
  const rawName = rawNameOf(key);
  const folder = mode === 'check' ? folders.check : folders.incoming;
  const path = Buffer.concat([Buffer.from(`${folder}/`), rawName]);
  const stats = await lookAt(path);
  return stats && { key, path, rawName, mode, force, ...factsOf(stats) };
}

function modeOf(key: string): DropMode {
  return key.startsWith(CHECK) ? 'check' : 'restore';
}

/** Looks again at what was seen before. */
export async function sightAgain(known: Sighting): Promise<Sighting | undefined> {
  const stats = await lookAt(known.path);
  if (!stats) return undefined;
  return signatureOf(stats) === known.signature ? known : { ...known, ...factsOf(stats) };
}

function factsOf(stats: BigIntStats) {
  return {
    isFile: stats.isFile(),
    type: typeOf(stats),
    bytes: Number(stats.size),
    arrivedMs: Number(stats.ctimeMs),
    identity: `${stats.dev}:${stats.ino}`,
    signature: signatureOf(stats),
  };
}

/** lstat, or undefined for what has gone in the meantime. */
export async function lookAt(path: Buffer | string): Promise<BigIntStats | undefined> {
  try {
    return await lstat(path, { bigint: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * Inode, size and time of the last change of the content. Without the device, which may have another
 * number once the host was restarted.
 */
export function signatureOf(stats: BigIntStats): string {
  return [stats.ino, stats.size, stats.mtimeNs].join(':');
}

export function typeOf(stats: BigIntStats): string {
  if (stats.isFile()) return 'a file';
  if (stats.isDirectory()) return 'a folder';
  if (stats.isSymbolicLink()) return 'a symbolic link';
  if (stats.isFIFO()) return 'a FIFO';
  if (stats.isSocket()) return 'a socket';
  return 'a device';
}
