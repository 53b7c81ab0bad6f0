import { type FSWatcher, watch } from 'chokidar';
import type { Logger } from '../../core/observability/log.ts';
import type { Clock } from '../../core/runtime/clock.ts';
import { messageOf, throwIfAborted } from '../../core/runtime/errors.ts';
import { Wake } from '../wake.ts';
import { DropQueue, type QueuedDrop, type SettlePolicy } from './drop-queue.ts';
import { ensureFolders, type Folders } from './folders.ts';
import { scanDropFolder } from './scan.ts';

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

/** Keeps the queue of drops up to date: by file events, and by rescans where there are none. */
export class DropWatcher {
  readonly #options: WatchOptions;
  readonly #queue: DropQueue;
  readonly #wake: Wake;
  #problem = '';

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#queue = new DropQueue(options);
    this.#wake = new Wake(options.clock);
  }

  get queue(): DropQueue {
    return this.#queue;
  }

  settled(): QueuedDrop[] {
    return this.#queue.settled(this.#options.clock.monotonic());
  }

  /** Scans until the signal fires; then rejects with `run/aborted`. */
  async run(signal: AbortSignal): Promise<void> {
    const events = this.#listen();
    try {
      for (;;) {
        await this.scan();
        throwIfAborted(signal);
        await this.#wake.wait(this.#untilNextScan(), signal);
      }
    } finally {
      await events.close();
    }
  }

  /** One look at the folders. A folder that can't be read is told once, and tried again. */
  async scan(): Promise<void> {
    const { folders, clock, log, onChange } = this.#options;
    try {
      const scan = await scanDropFolder(folders);
      const untold = this.#queue.update(scan, clock.monotonic());
      for (const name of untold) {
        log.warn({ file: name }, "ignored: its extension is not a dump's");
      }
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

  #untilNextScan(): number {
    const { pollIntervalMs, clock } = this.#options;
    const due = this.#queue.nextDueIn(clock.monotonic());
    if (due === undefined) return pollIntervalMs;
    // What is due already waits for something else than time.
    const next = due === 0 ? LONGEST_WHILE_SETTLING : Math.min(due, LONGEST_WHILE_SETTLING);
    return Math.min(pollIntervalMs, Math.max(50, next));
  }

  /** Events only hasten the next scan: what they say is not relied on. */
  #listen(): FSWatcher {
    const { folders, log } = this.#options;
    const events = watch([folders.incoming, folders.requests], {
      depth: 1,
      ignoreInitial: true,
      followSymlinks: false,
      atomic: false,
      ignorePermissionErrors: true,
    });
    let told = false;
    events.on('all', () => this.#wake.wake());
    events.on('error', (error) => {
      if (!told) log.warn({ error }, 'no file events here: the folder is rescanned instead');
      told = true;
    });
    return events;
  }
}
