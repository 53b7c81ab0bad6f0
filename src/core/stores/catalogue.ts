import { parseArchiveId } from '../archive/archive-name.ts';
import type { Manifest } from '../archive/manifest.ts';
import { isSameBackup } from '../archive/manifest-file.ts';
import { newestOf } from '../archive/newest.ts';
import { madeByOthers } from '../archive/origin.ts';
import type { BackupState, StorePlace } from '../archive/state-file.ts';
import {
  isBad,
  isDamaged,
  isRehearsed,
  isRehearsedWhole,
  isUnreadable,
  isUploaded,
  isVerified,
} from '../archive/state-findings.ts';
import type { RetentionBackup } from '../retention/plan.ts';
import { OWN_PLACE } from '../retention/report.ts';
import type { Clock } from '../runtime/clock.ts';
import { DropbackError, type ErrorReport, errorReport, throwIfAborted } from '../runtime/errors.ts';
import type { LocalStore } from './local/store.ts';
import type { Listing, Store, Stray } from './store.ts';
import { noBackup, notFound } from './store-errors.ts';

/** One backup, wherever it lies. */
export interface CatalogueEntry {
  readonly id: string;
  /** `local` first where it lies in both. */
  readonly where: readonly ('local' | 's3')[];
  readonly manifest: Manifest;
  /** What became of it, as the local store knows. */
  readonly state: BackupState;
  /** It lies in S3, or did when it was last heard of; nothing is known of other buckets. */
  readonly uploaded: boolean;
  /** Milliseconds since the snapshot; negative where the clock went back. */
  readonly ageMs: number;
  /** Of the archive as stored. */
  readonly bytes: number;
}

/** What is known of a file by its checksum. */
export interface KnownArchive {
  readonly manifest: Manifest;
  /** Not where its archive is no longer beside its manifest, or is another one. */
  readonly isListed: boolean;
}

export interface CatalogueView {
  /** Oldest first. */
  readonly entries: readonly CatalogueEntry[];
  readonly strays: readonly (Stray & { readonly where: 'local' | 's3' })[];
  /** Stores that could not be asked; what lies there alone is missing from `entries`. */
  readonly unreachable: readonly {
    readonly where: 'local' | 's3';
    readonly error: ErrorReport;
  }[];
  /** Ids under which the two stores hold different backups; both are entries. */
  readonly conflicts: readonly string[];
}

/** The backups of one database over its local store and, where there is one, its remote store. */
export class Catalogue {
  readonly #local: LocalStore;
  readonly #remote: Store | undefined;
  readonly #clock: Clock;

  constructor(local: LocalStore, remote: Store | undefined, clock: Clock) {
    this.#local = local;
    this.#remote = remote;
    this.#clock = clock;
  }

  /** Asks both stores. One that fails is named in `unreachable`; only an abort throws. */
  async list(signal: AbortSignal): Promise<CatalogueView> {
    const remote = this.#remote;
    const [local, s3] = await Promise.all([
      attempt(this.#local, signal),
      remote ? attempt(remote, signal) : undefined,
    ]);
    throwIfAborted(signal);
    const entries = new Map<string, CatalogueEntry>();
    const conflicts: string[] = [];
    for (const manifest of local.listing.backups) {
      entries.set(manifest.id, await this.#entry(manifest, ['local']));
    }
    for (const manifest of s3?.listing.backups ?? []) {
      const known = entries.get(manifest.id);
      if (!known) entries.set(manifest.id, await this.#entry(manifest, ['s3']));
      else if (isSameBackup(known.manifest, manifest)) {
        entries.set(manifest.id, { ...known, where: ['local', 's3'], uploaded: true });
      } else {
        conflicts.push(manifest.id);
        entries.set(`${manifest.id} in s3`, await this.#entry(manifest, ['s3']));
      }
    }
    const stores = [local, ...(s3 ? [s3] : [])];
    return {
      entries: [...entries.values()].sort(byTime),
      strays: stores.flatMap(({ where, listing }) =>
        listing.strays.map((stray) => ({ ...stray, where })),
      ),
      unreachable: stores.flatMap(({ where, error }) => (error ? [{ where, error }] : [])),
      conflicts,
    };
  }

  /**
   * A backup by its id, or `latest`. Throws `store/not-found`; where a store could not be asked,
   * `store/unreachable` for an id that is in none of the others; `store/clock-doubt` and
   * `store/origin-doubt` where nobody but a person knows which is the latest.
   */
  async find(idOrLatest: string, signal: AbortSignal): Promise<CatalogueEntry> {
    const view = await this.list(signal);
    const found =
      idOrLatest === 'latest'
        ? latestOf(view.entries, this.#clock.now())
        : view.entries.find(({ id }) => id === idOrLatest);
    if (found) return found;
    const [failed] = view.unreachable;
    if (!failed) throw idOrLatest === 'latest' ? noBackup() : notFound(idOrLatest, 'the catalogue');
    throw unasked(idOrLatest, failed);
  }

  /**
   * The backup of our own whose archive has this sha256 (hex), if there is one: the ground on which a
   * dropped file is trusted. Its manifest is ground enough: whoever moved the archive into the drop folder
   * has taken it off the list. Throws `store/unreachable` where it isn't found, and a store that may
   * have it could not be asked.
   */
  async findBySha256(sha256: string, signal: AbortSignal): Promise<KnownArchive | undefined> {
    const { entries, strays, unreachable } = await this.list(signal);
    const isIt = ({ archive }: Manifest) => archive.sha256 === sha256;
    const listed = entries.findLast(({ manifest }) => isIt(manifest));
    if (listed) return { manifest: listed.manifest, isListed: true };
    for (const { name, where } of strays) {
      const manifest = where === 'local' ? await this.#local.strayManifest(name) : undefined;
      if (manifest && isIt(manifest)) return { manifest, isListed: false };
    }
    const [failed] = unreachable;
    if (failed) throw unasked('a file with this checksum', failed);
    return undefined;
  }

  /**
   * Takes the archive of an entry from the nearest store that has it intact. A damaged local copy
   * is no reason to fail while there is a remote one.
   */
  async fetch(
    entry: CatalogueEntry,
    destination: string,
    signal: AbortSignal,
    onProgress?: (bytes: number) => void,
  ): Promise<void> {
    const failures: unknown[] = [];
    for (const where of entry.where) {
      const store = where === 'local' ? this.#local : this.#remote;
      try {
        return await store?.fetch(entry.manifest, destination, signal, onProgress);
      } catch (error) {
        throwIfAborted(signal);
        failures.push(error);
      }
    }
    throw failures[0] ?? notFound(entry.id, 'the catalogue');
  }

  async #entry(manifest: Manifest, where: CatalogueEntry['where']): Promise<CatalogueEntry> {
    const ageMs = this.#clock.now().getTime() - new Date(manifest.createdAt).getTime();
    const state = await this.#local.readState(manifest.id);
    const { id, archive } = manifest;
    const uploaded = where.includes('s3') || isUploaded(state, this.#remote?.identity);
    return { id, where, manifest, state, uploaded, ageMs, bytes: archive.bytes };
  }
}

interface BackupWithState {
  readonly manifest: Pick<Manifest, 'id' | 'createdAt'>;
  readonly state: BackupState;
}

/**
 * What retention in one store has to know of a backup there. `target`: the remote store's identity; a
 * copy there that is known to be damaged counts as none.
 */
export function forRetention(
  { manifest, state }: BackupWithState,
  where: StorePlace,
  target: string | undefined,
): RetentionBackup {
  const { id, createdAt } = manifest;
  return {
    id,
    createdAt,
    verified: isVerified(state, where),
    rehearsed: isRehearsed(state, where),
    rehearsedWhole: isRehearsedWhole(state, where),
    bad: isBad(state, where),
    unreadable: isUnreadable(state, where),
    uploaded: where === 's3' || (isUploaded(state, target) && !isDamaged(state, 's3')),
  };
}

/**
 * Of a database that is to be replaced nothing is guessed: where some are dated ahead of the clock and
 * others aren't, either that clock was ahead or this one is behind.
 */
function latestOf(entries: readonly CatalogueEntry[], now: Date): CatalogueEntry | undefined {
  const last = entries.at(-1);
  const newest = newestOf(entries, timeOf, now);
  if (!last || !newest) return undefined;
  if (last === newest) return undoubted(newest, entries);
  throw new DropbackError(
    'store/clock-doubt',
    `${last.id} is dated ahead of this machine's clock (${now.toISOString().slice(0, 19)}Z)`,
    {
      hint: `set the clock, or name the backup: ${newest.id} is the newest that is not dated ahead (\`dropback list\`).`,
      facts: { ahead: last.id, newest: newest.id },
    },
  );
}

/** What lies in S3 alone may be another stack's, under the same name: whose database is to be restored? */
function undoubted(newest: CatalogueEntry, entries: readonly CatalogueEntry[]): CatalogueEntry {
  if (newest.where.includes('local')) return newest;
  const manifests = entries.map(({ manifest }) => manifest);
  const { ids } = madeByOthers(newest.manifest.origin, manifests);
  const other = entries.findLast(({ id }) => ids.includes(id));
  if (!other) return newest;
  throw new DropbackError(
    'store/origin-doubt',
    `more than one db-backup has written backups of this name: which is the latest?`,
    {
      hint: `name the backup: ${newest.id} is the newest of one, ${other.id} of the other (\`dropback list\`). Then ${OWN_PLACE}`,
      facts: { newest: newest.id, other: other.id },
    },
  );
}

function unasked(what: string, failed: CatalogueView['unreachable'][number]): DropbackError {
  const { where, error } = failed;
  return new DropbackError('store/unreachable', `${what} not found, and ${where} failed`, {
    hint: error.hint,
    retryable: true,
    facts: { id: what, where, reason: error.message },
  });
}

interface Attempt {
  readonly where: 'local' | 's3';
  readonly listing: Listing;
  readonly error?: ErrorReport;
}

async function attempt(store: Store, signal: AbortSignal): Promise<Attempt> {
  try {
    return { where: store.kind, listing: await store.list(signal) };
  } catch (error) {
    return { where: store.kind, listing: { backups: [], strays: [] }, error: errorReport(error) };
  }
}

function byTime(a: CatalogueEntry, b: CatalogueEntry): number {
  return timeOf(a).getTime() - timeOf(b).getTime();
}

function timeOf({ id }: CatalogueEntry): Date {
  return parseArchiveId(id)?.at ?? new Date(0);
}
