import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureFolder, writeDurably } from '../runtime/durable-files.ts';
import type { Manifest } from './manifest.ts';

/**
 * Two stacks that have the same BACKUP_NAME and write into one bucket must not take each other's backups
 * for their own. So each local folder of backups has a random number, which every manifest repeats.
 */
const FILE = 'origin';

type Made = Pick<Manifest, 'id' | 'createdAt' | 'origin'>;

/** `folder`: `ownFolder`. Undefined where none was noted yet, or it can't be read. */
export async function readOrigin(folder: string): Promise<string | undefined> {
  const text = await readFile(join(folder, FILE), 'utf8').catch(() => '');
  return /^[0-9a-f]{16}\n$/.test(text) ? text.trim() : undefined;
}

/** The same, noted now where it wasn't. For who holds the database's lock. Throws what the disk says. */
export async function ownOrigin(folder: string): Promise<string> {
  const known = await readOrigin(folder);
  if (known !== undefined) return known;
  const origin = randomBytes(8).toString('hex');
  await ensureFolder(folder);
  await writeDurably(join(folder, FILE), `${origin}\n`);
  return origin;
}

export interface Others {
  readonly ids: readonly string[];
  /** They have made one since our last but one: this is not about days long past. */
  readonly areWriting: boolean;
}

/** Two stacks may be set up at the same time. */
const TOGETHER_MS = 3_600_000;

/**
 * What is not `own` though it lies among ours: of whoever has made a backup after our first one, or not
 * long before it. Who had stopped by then is whom we took over from (another machine, a new volume): those
 * are ours to keep, and to remove.
 */
export function madeByOthers(own: string | undefined, backups: readonly Made[]): Others {
  const ours = timesOf(backups.filter(({ origin }) => origin !== undefined && origin === own));
  const [first] = ours;
  if (first === undefined) return { ids: [], areWriting: false };
  const beside = new Set(
    backups.filter((one) => timeOf(one) > first - TOGETHER_MS).map(({ origin }) => origin),
  );
  const theirs = backups.filter(
    ({ origin }) => origin !== undefined && origin !== own && beside.has(origin),
  );
  const latest = timesOf(theirs).at(-1) ?? Number.NEGATIVE_INFINITY;
  return {
    ids: theirs.map(({ id }) => id),
    areWriting: latest > (ours.at(-2) ?? first),
  };
}

function timesOf(backups: readonly Made[]): number[] {
  return backups.map(timeOf).sort((a, b) => a - b);
}

function timeOf({ createdAt }: Made): number {
  return Date.parse(createdAt);
}
