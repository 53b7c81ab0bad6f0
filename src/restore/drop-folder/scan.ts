import type { BigIntStats } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { sep } from 'node:path';
import { judgeName } from './drop-name.ts';
import type { Folders } from './folders.ts';

/** An entry of the drop folder whose name is a dump's. */
export interface Sighting {
  /** Path as bytes: names need not be UTF-8. */
  readonly path: Buffer;
  readonly rawName: Buffer;
  readonly mode: 'restore' | 'check';
  readonly force: boolean;
  readonly isFile: boolean;
  /** For messages: `a folder`, `a symbolic link`. */
  readonly type: string;
  readonly bytes: number;
  readonly mtimeMs: number;
  /** Changes whenever the file does; also its identity. */
  readonly signature: string;
}

export interface Scan {
  readonly sightings: readonly Sighting[];
  /** Names that aren't a dump's, as bytes. */
  readonly foreign: readonly Buffer[];
}

/** What lies in `incoming/` and `incoming/check/` now. Links are not followed. */
export async function scanDropFolder(folders: Folders): Promise<Scan> {
  const incoming = await scanOne(folders.incoming, 'restore');
  const check = await scanOne(folders.check, 'check');
  return {
    sightings: [...incoming.sightings, ...check.sightings],
    foreign: [...incoming.foreign, ...check.foreign],
  };
}

async function scanOne(folder: string, mode: Sighting['mode']): Promise<Scan> {
  const sightings: Sighting[] = [];
  const foreign: Buffer[] = [];
  for (const rawName of await readdir(folder, { encoding: 'buffer' })) {
    const text = rawName.toString('utf8');
    if (mode === 'restore' && text === 'check') continue;
    const verdict = judgeName(text);
    if (verdict.kind === 'foreign') foreign.push(rawName);
    if (verdict.kind !== 'drop') continue;
    const path = Buffer.concat([Buffer.from(folder + sep), rawName]);
    const stats = await lookAt(path);
    if (stats) sightings.push(sighting(path, rawName, mode, verdict.force, stats));
  }
  return { sightings, foreign };
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

function sighting(
  path: Buffer,
  rawName: Buffer,
  mode: Sighting['mode'],
  force: boolean,
  stats: BigIntStats,
): Sighting {
  return {
    path,
    rawName,
    mode,
    force,
    isFile: stats.isFile(),
    type: typeOf(stats),
    bytes: Number(stats.size),
    mtimeMs: Number(stats.mtimeMs),
    signature: signatureOf(stats),
  };
}

/** Device, inode, size and time of the last change of the content. */
export function signatureOf(stats: BigIntStats): string {
  return [stats.dev, stats.ino, stats.size, stats.mtimeNs].join(':');
}

export function typeOf(stats: BigIntStats): string {
  if (stats.isFile()) return 'a file';
  if (stats.isDirectory()) return 'a folder';
  if (stats.isSymbolicLink()) return 'a symbolic link';
  if (stats.isFIFO()) return 'a FIFO';
  if (stats.isSocket()) return 'a socket';
  return 'a device';
}
