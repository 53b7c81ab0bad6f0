import {
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  lstatSync,
  openSync,
  readdirSync,
  rmSync,
  type Stats,
  statfsSync,
  statSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { DropbackError } from '../../../runtime/errors.ts';
import type { CreateRequest, FileIdentity, ListedFile } from '../protocol.ts';

export function identityOf(stats: Stats): string {
  return `${stats.dev}:${stats.ino}`;
}

/** Not following links: what has another kind than a regular file is not ours. */
export function identityAt(path: string): FileIdentity | null {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  return stats?.isFile() ? { identity: identityOf(stats), bytes: stats.size } : null;
}

export async function identify(paths: readonly string[]): Promise<(FileIdentity | null)[]> {
  return paths.map(identityAt);
}

/** Removes files and folders of ours, then makes that durable. Missing is fine. */
export async function remove(paths: readonly string[]): Promise<null> {
  for (const path of paths) rmSync(path, { recursive: true, force: true });
  const folders = new Set(paths.map((path) => dirname(path)));
  for (const folder of folders) if (existsSync(folder)) syncFolder(folder);
  return null;
}

/** Creates an empty file for staging, where there is room for what will be in it. */
export async function create({ path, needBytes }: CreateRequest): Promise<{ identity: string }> {
  requireSpace(dirname(path), needBytes);
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  closeSync(openSync(path, flags, 0o600));
  syncFolder(dirname(path));
  return { identity: identityOf(statSync(path)) };
}

export function requireSpace(folder: string, needBytes: number): void {
  const free = freeBytes(folder);
  if (free >= needBytes) return;
  throw new DropbackError(
    'disk/full',
    `${folder} has ${free} bytes free, ${needBytes} are needed`,
    {
      hint: 'free space on that volume, or make it larger.',
      facts: { folder, freeBytes: free, needBytes },
    },
  );
}

export function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

export async function list(folder: string, prefix: string): Promise<ListedFile[]> {
  const names = readdirSync(folder).filter((name) => name.startsWith(prefix));
  return names.flatMap((name) => {
    const stats = lstatSync(join(folder, name), { throwIfNoEntry: false });
    if (!stats) return [];
    return [{ name, identity: identityOf(stats), bytes: stats.size, links: stats.nlink }];
  });
}

export function syncFile(path: string): void {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

export function syncFolder(path: string): void {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
