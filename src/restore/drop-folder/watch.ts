import type { Logger } from '../../core/observability/log.ts';
import type { Clock } from '../../core/runtime/clock.ts';
import { messageOf, throwIfAborted } from '../../core/runtime/errors.ts';
import { Wake } from '../wake.ts';
import { judgeName, safeName } from './drop-name.ts';
import { DropQueue, type SettlePolicy } from './drop-queue.ts';
import { FolderEvents } from './folder-events.ts';
import { ensureFolders, type Folders } from './folders.ts';
import { listDropFolder, rawNameOf, type Sighting, sight, sightAgain } from './scan.ts';

export interface WatchOptions extends SettlePolicy {
  readonly folders: Folders;
  /** Milliseconds between rescans, for mounts without file events. */
  readonly pollIntervalMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** Told whenever something may have become due. */
  readonly onChange: () => void;
}

/** While something is settling it is looked at this often at least. Milliseconds. */
const LONGEST_WHILE_SETTLING = 500;
const SHORTEST_PAUSE = 50;
/** A scan is followed by a pause of so many times its duration, whatever happens meanwhile. */
const PAUSE_FACTOR = 9;
/** Foreign names that a scan tells one by one. */
const MOST_TOLD = 20;
const DUMP_NAMES =
  'a dump ends in .sql, .dump, .db, .sqlite, .sqlite3 or .tar, then .gz or .zst if compressed; folders are not looked into: pack a directory-format dump as .tar.';
/** Entries that are looked at together. */
const AT_ONCE = 16;

/** Keeps the queue of drops up to date: by file events, and by rescans where there are none. */
export class DropWatcher {
  readonly queue: DropQueue;
  readonly #options: WatchOptions;
  readonly #wake: Wake;
  /** Names that are no dump's: told once, and not judged again. */
  #foreign = new Set<string>();
  #problem = '';

  constructor(options: WatchOptions) {
    this.#options = options;
    this.queue = new DropQueue(options);
    this.#wake = new Wake(options.clock);
  }

  /** Scans until the signal fires; then rejects with `run/aborted`. */
  async run(signal: AbortSignal): Promise<void> {
    const { folders, clock, log } = this.#options;
    const watched = [folders.incoming, folders.check, folders.requests];
    const events = new FolderEvents(watched, log, () => this.#wake.wake());
    try {
      for (;;) {
        const begun = clock.monotonic();
        await events.refresh();
        await this.scan();
        throwIfAborted(signal);
        const rest = Math.max(SHORTEST_PAUSE, (clock.monotonic() - begun) * PAUSE_FACTOR);
        await clock.sleep(rest, signal);
        await this.#wake.wait(Math.max(0, this.#untilNextScan() - rest), signal);
      }
    } finally {
      await events.close();
    }
  }

  /** One look at the folders. A folder that can't be read is told once, and tried again. */
  async scan(): Promise<void> {
    const { folders, clock, log, onChange } = this.#options;
    try {
      const keys = await listDropFolder(folders);
      const fresh = await this.#lookAtFresh(this.#unknown(keys));
      const again = await inGroups(this.queue.toWatch(clock.monotonic()), ({ sighting }) =>
        sightAgain(sighting),
      );
      this.queue.note([...fresh, ...again], clock.monotonic());
      this.queue.keepOnly(new Set(keys));
      this.#problem = '';
      onChange();
    } catch (error) {
      const problem = messageOf(error);
      if (problem !== this.#problem) log.error({ error }, "the drop folder can't be read");
      this.#problem = problem;
      await ensureFolders(folders).catch(() => {});
    }
  }

  get problem(): string | undefined {
    return this.#problem || undefined;
  }

  /** Neither in the queue nor known to be no dump. */
  #unknown(keys: readonly string[]): string[] {
    const known = this.#foreign;
    this.#foreign = new Set();
    return keys.filter((key) => {
      if (known.has(key)) this.#foreign.add(key);
      return !known.has(key) && !this.queue.has(key);
    });
  }

  async #lookAtFresh(keys: readonly string[]): Promise<Sighting[]> {
    const { folders } = this.#options;
    const untold: Buffer[] = [];
    const sightings = await inGroups(keys, async (key) => {
      const rawName = rawNameOf(key);
      const verdict = judgeName(rawName.toString('utf8'));
      if (verdict.kind === 'drop') return sight(folders, key, verdict.force);
      if (verdict.kind === 'foreign') {
        this.#foreign.add(key);
        untold.push(rawName);
      }
      return undefined;
    });
    this.#tellForeign(untold);
    return sightings;
  }

  #tellForeign(names: readonly Buffer[]): void {
    const { log } = this.#options;
    for (const name of names.slice(0, MOST_TOLD)) {
      log.warn({ file: safeName(name), hint: DUMP_NAMES }, "ignored: its name is not a dump's");
    }
    const more = names.length - MOST_TOLD;
    if (more > 0) log.warn(`ignored: ${more} more files with such names`);
  }

  #untilNextScan(): number {
    const { pollIntervalMs, clock } = this.#options;
    const due = this.queue.nextDueIn(clock.monotonic());
    if (due === undefined) return pollIntervalMs;
    // What is due already waits for something else than time.
    const next = due === 0 ? LONGEST_WHILE_SETTLING : Math.min(due, LONGEST_WHILE_SETTLING);
    return Math.min(pollIntervalMs, Math.max(SHORTEST_PAUSE, next));
  }
}

/** A few at a time, so that thousands neither queue up in memory nor wait for each other. */
async function inGroups<T, R>(
  items: readonly T[],
  look: (item: T) => Promise<R | undefined>,
): Promise<R[]> {
  const found: R[] = [];
  for (let at = 0; at < items.length; at += AT_ONCE) {
    const group = await Promise.all(items.slice(at, at + AT_ONCE).map(look));
    for (const one of group) if (one !== undefined) found.push(one);
  }
  return found;
}
