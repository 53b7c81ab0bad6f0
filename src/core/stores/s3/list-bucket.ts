import {
  type BackupFile,
  MANIFEST_SUFFIX,
  parseBackupFile,
  REMOVING_SUFFIX,
} from '../../archive/archive-name.ts';
import type { Manifest } from '../../archive/manifest.ts';
import { parseManifest } from '../../archive/manifest-file.ts';
import { DropbackError, messageOf } from '../../runtime/errors.ts';
import type { Listing, Stray } from '../store.ts';
import type { Bucket } from './bucket.ts';

/** Manifests that are fetched at a time. */
const CONCURRENCY = 8;
/** A prefix full of other things must not fill the memory. */
const MOST_OTHERS = 1000;
export const PROBE_NAME = '.dropback-probe';

/** The keys of one database's backups: `<prefix>/<name>/<file>`. */
export class Keys {
  readonly name: string;
  /** Ends in a slash. */
  readonly folder: string;
  /** What every key of ours begins with: a million others in the folder cost nothing. */
  readonly own: string;

  constructor(prefix: string, name: string) {
    this.name = name;
    this.folder = prefix === '' ? `${name}/` : `${prefix}/${name}/`;
    this.own = `${this.folder}${name}_`;
  }

  /** For messages. */
  placeIn(bucket: Bucket): string {
    return `s3://${bucket.name}/${this.folder.slice(0, -1)}`;
  }

  archive({ archive }: Manifest): string {
    return this.folder + archive.file;
  }

  manifest(id: string): string {
    return this.folder + id + MANIFEST_SUFFIX;
  }

  /** Copy of a manifest whose backup is being removed. */
  removing(id: string): string {
    return this.folder + id + MANIFEST_SUFFIX + REMOVING_SUFFIX;
  }

  parse(key: string): BackupFile | undefined {
    return parseBackupFile(this.name, key.slice(this.folder.length));
  }
}

interface Found extends BackupFile {
  readonly key: string;
  readonly bytes: number;
}

/** What is listed in the bucket, oldest first, and what else lies below the folder. */
export async function listBucket(
  bucket: Bucket,
  keys: Keys,
  signal: AbortSignal,
): Promise<Listing> {
  const strays = new Strays();
  const found = await findFiles(bucket, keys, strays, signal);
  const sizes = new Map(found.map(({ key, bytes }) => [key, bytes]));
  const manifests = found.filter(({ kind }) => kind === 'manifest');
  const read = await inTurns(manifests, (entry) => readEntry(bucket, keys, entry, signal));
  const backups: Manifest[] = [];
  const named = new Set<string>();
  const gone = new Set<string>();
  for (const { entry, manifest, problem } of read) {
    const file = entry.key.slice(keys.folder.length);
    if (!manifest) {
      if (problem !== undefined) strays.add(file, problem);
      else gone.add(entry.id);
      continue;
    }
    const archive = keys.archive(manifest);
    named.add(archive);
    // Pages are no snapshot: it may have come, or the next page been moved past it, in between.
    const size = sizes.get(archive) ?? (await bucket.head(archive, signal))?.ContentLength;
    if (size === manifest.archive.bytes) backups.push(manifest);
    else if (size === undefined) strays.add(file, 'manifest without its archive');
    else strays.add(file, `its archive has ${size} bytes, not ${manifest.archive.bytes}`);
  }
  const removing = new Set(
    found.filter(({ kind }) => kind === 'manifest-removing').map(({ id }) => id),
  );
  for (const { key, kind, id } of found) {
    if (kind !== 'archive' || named.has(key) || removing.has(id) || gone.has(id)) continue;
    strays.add(key.slice(keys.folder.length), 'archive without a manifest');
  }
  return { backups, strays: strays.list() };
}

/** Files of backups. The others are looked at only until there are too many of them to be named. */
async function findFiles(
  bucket: Bucket,
  keys: Keys,
  strays: Strays,
  signal: AbortSignal,
): Promise<Found[]> {
  const read = async (prefix: string, onOther: (file: string) => boolean) => {
    // What is pushed over the border of a page comes twice.
    const found = new Map<string, Found>();
    for await (const { key, bytes } of bucket.list(prefix, signal)) {
      const known = keys.parse(key);
      if (known) found.set(key, { ...known, key, bytes });
      else if (!onOther(key.slice(keys.folder.length))) return undefined;
    }
    return [...found.values()];
  };
  const all = await read(keys.folder, (file) => {
    if (file.startsWith(PROBE_NAME)) return true;
    return strays.addOther(file);
  });
  return all ?? (await read(keys.own, () => true)) ?? [];
}

/** The manifest under a key; undefined where there is none. Throws as parseManifest does. */
export async function readManifest(
  bucket: Bucket,
  keys: Keys,
  id: string,
  key: string,
  signal: AbortSignal,
): Promise<Manifest | undefined> {
  const content = await bucket.read(key, signal);
  if (content === undefined) return undefined;
  const manifest = parseManifest(content, `s3://${bucket.name}/${key}`);
  if (manifest.id === id && manifest.name === keys.name) return manifest;
  throw new DropbackError('manifest/corrupt', `${key} is the manifest of ${manifest.id}`, {
    hint: 'someone renamed it; give it its own name back, or move it away.',
    facts: { key },
  });
}

interface ReadEntry {
  readonly entry: Found;
  readonly manifest?: Manifest;
  readonly problem?: string;
}

async function readEntry(
  bucket: Bucket,
  keys: Keys,
  entry: Found,
  signal: AbortSignal,
): Promise<ReadEntry> {
  try {
    const manifest = await readManifest(bucket, keys, entry.id, entry.key, signal);
    return manifest ? { entry, manifest } : { entry };
  } catch (error) {
    // A damaged one is a finding; an endpoint that doesn't answer fails the listing.
    const code = error instanceof DropbackError ? error.code : '';
    if (!code.startsWith('manifest/') && code !== 'store/corrupt') throw error;
    return { entry, problem: messageOf(error) };
  }
}

/** Results in the order of the items, a few at a time; a slow one keeps none of the others waiting. */
async function inTurns<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async () => {
    for (let at = next++; at < items.length; at = next++) results[at] = await work(items[at] as T);
  };
  try {
    await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  } finally {
    // The others begin nothing more where one has failed.
    next = items.length;
  }
  return results;
}

class Strays {
  readonly #others: Stray[] = [];
  readonly #ours: Stray[] = [];

  /** Something of ours that is not as it should be. */
  add(name: string, reason: string): void {
    this.#ours.push({ name, reason });
  }

  /** Something of others; false when there are too many of them. */
  addOther(name: string): boolean {
    this.#others.push({ name, reason: 'not a file of a backup of this database' });
    return this.#others.length < MOST_OTHERS;
  }

  list(): Stray[] {
    if (this.#others.length < MOST_OTHERS) return [...this.#others, ...this.#ours];
    return [...this.#others, { name: '…', reason: 'and perhaps more' }, ...this.#ours];
  }
}
