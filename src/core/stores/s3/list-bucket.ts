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
const CONCURRENCY = 4;
/** A prefix full of other things must not fill the memory. */
const MOST_STRAYS = 1000;
export const PROBE_NAME = '.dropback-probe';

/** The keys of one database's backups: `<prefix>/<name>/<file>`. */
export class Keys {
  readonly name: string;
  /** Ends in a slash. */
  readonly folder: string;

  constructor(prefix: string, name: string) {
    this.name = name;
    this.folder = prefix === '' ? `${name}/` : `${prefix}/${name}/`;
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
  const found: Found[] = [];
  const strays = new Strays();
  for await (const { key, bytes } of bucket.list(keys.folder, signal)) {
    const known = keys.parse(key);
    const file = key.slice(keys.folder.length);
    if (known) found.push({ ...known, key, bytes });
    else if (!file.startsWith(PROBE_NAME))
      strays.add(file, 'not a file of a backup of this database');
  }
  const sizes = new Map(found.map(({ key, bytes }) => [key, bytes]));
  const manifests = found.filter(({ kind }) => kind === 'manifest');
  const read = await inTurns(manifests, (entry) => readEntry(bucket, keys, entry, signal));
  const backups: Manifest[] = [];
  const named = new Set<string>();
  for (const { entry, manifest, problem } of read) {
    const file = entry.key.slice(keys.folder.length);
    if (!manifest) {
      if (problem !== undefined) strays.add(file, problem);
      continue;
    }
    named.add(keys.archive(manifest));
    const size = sizes.get(keys.archive(manifest));
    if (size === manifest.archive.bytes) backups.push(manifest);
    else if (size === undefined) strays.add(file, 'manifest without its archive');
    else strays.add(file, `its archive has ${size} bytes, not ${manifest.archive.bytes}`);
  }
  const removing = new Set(
    found.filter(({ kind }) => kind === 'manifest-removing').map(({ id }) => id),
  );
  for (const { key, kind, id } of found) {
    if (kind !== 'archive' || named.has(key) || removing.has(id)) continue;
    strays.add(key.slice(keys.folder.length), 'archive without a manifest');
  }
  return { backups, strays: strays.list() };
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

/** Results in the order of the items, a few at a time. */
async function inTurns<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += CONCURRENCY) {
    results.push(...(await Promise.all(items.slice(at, at + CONCURRENCY).map(work))));
  }
  return results;
}

class Strays {
  readonly #list: Stray[] = [];
  #more = 0;

  add(name: string, reason: string): void {
    if (this.#list.length < MOST_STRAYS) this.#list.push({ name, reason });
    else this.#more++;
  }

  list(): Stray[] {
    if (this.#more === 0) return this.#list;
    return [...this.#list, { name: '…', reason: `and ${this.#more} more` }];
  }
}
