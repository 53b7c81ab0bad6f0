import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Logger } from '../../core/observability/log.ts';
import type { RestoreReport } from '../../core/requests/report.ts';
import type { Clock } from '../../core/runtime/clock.ts';
import { ensureFolder } from '../../core/runtime/durable-files.ts';
import { DropbackError, errorReport, messageOf } from '../../core/runtime/errors.ts';
import { noCheckpoint } from '../checkpoint.ts';
import { judgeName, safeName } from './drop-name.ts';
import { moveAside, placeFor, writeReport } from './filing.ts';
import { lookAt, signatureOf } from './scan.ts';

export interface MisplacedOptions {
  /** RESTORE_WATCH_DIR. */
  readonly watchDir: string;
  /** Of the databases. */
  readonly names: readonly string[];
  readonly clock: Clock;
  readonly log: Logger;
}

const POLL_MS = 2000;
const MOST_NAMED = 5;

/**
 * Refuses what is dropped beside the folders of several databases: nobody knows for which of them
 * it is meant. It goes to `failed/` with a report that names the folders. What lies in a folder of no
 * database is told once and left alone: it may be there since DATABASES_FILE named another.
 */
export class MisplacedDrops {
  readonly #options: MisplacedOptions;
  /** Name (latin1) → signature at the last look. */
  #seen = new Map<string, string>();
  /** Folders of no database in which dumps were seen at the last look. */
  #stray = new Set<string>();
  #problem = '';

  constructor(options: MisplacedOptions) {
    this.#options = options;
  }

  /** Until the signal fires. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    while (!signal.aborted) {
      try {
        await this.look();
        this.#problem = '';
      } catch (error) {
        if (messageOf(error) !== this.#problem) {
          log.error({ error }, 'a misplaced drop could not be put aside; trying again');
        }
        this.#problem = messageOf(error);
      }
      await clock.sleep(POLL_MS, signal).catch(() => {});
    }
  }

  /** One look; what is as it was at the last one has arrived, and is refused. */
  async look(): Promise<void> {
    const { watchDir } = this.#options;
    const before = this.#seen;
    this.#seen = new Map();
    const keys = await readdir(watchDir, { encoding: 'latin1' });
    await this.#tellStray(keys);
    for (const key of keys) {
      const rawName = Buffer.from(key, 'latin1');
      if (judgeName(rawName.toString('utf8')).kind !== 'drop') continue;
      const path = pathOf(watchDir, key);
      const stats = await lookAt(path);
      // A database may be called as a dump is: its folder is none.
      if (!stats || stats.isDirectory()) continue;
      const signature = signatureOf(stats);
      if (before.get(key) === signature) await this.#refuse(path, rawName, Number(stats.size));
      else this.#seen.set(key, signature);
    }
  }

  async #tellStray(keys: readonly string[]): Promise<void> {
    const { watchDir, names, log } = this.#options;
    const told = this.#stray;
    this.#stray = new Set();
    for (const key of keys) {
      if (names.includes(key)) continue;
      const inside = await readdir(pathOf(watchDir, key)).catch(() => []);
      if (!inside.some((name) => judgeName(name).kind === 'drop')) continue;
      this.#stray.add(key);
      if (told.has(key)) continue;
      const folder = safeName(Buffer.from(key, 'latin1'));
      log.warn({ folder, hint: this.#error().hint }, 'ignored: dumps in a folder of no database');
    }
  }

  async #refuse(path: Buffer, rawName: Buffer, bytes: number): Promise<void> {
    const { watchDir, clock, log } = this.#options;
    const name = safeName(rawName);
    const at = clock.now().toISOString();
    const id = `${at.replace(/[-:]|\.\d+/g, '')}-${randomBytes(4).toString('hex')}`;
    const error = this.#error();
    const folder = join(dirname(watchDir), 'failed');
    await ensureFolder(folder);
    const place = await placeFor(folder, name, id);
    if (!(await moveAside(path, place, noCheckpoint))) {
      throw new Error(`${name} can't be moved to ${folder}`);
    }
    const report: RestoreReport = {
      format: 'dropback-report',
      version: 1,
      id,
      kind: 'restore',
      outcome: 'refused',
      source: name,
      bytes,
      target: 'none',
      startedAt: at,
      finishedAt: at,
      durationMs: 0,
      attempts: 1,
      steps: [],
      warnings: [],
      error: errorReport(error),
    };
    await writeReport(place, report, noCheckpoint);
    log.error({ file: name, error }, 'refused: it was dropped beside the folders of the databases');
  }

  #error(): DropbackError {
    const { watchDir, names } = this.#options;
    const folders = names.slice(0, MOST_NAMED).map((name) => join(watchDir, name));
    const more = names.length > MOST_NAMED ? ` (and ${names.length - MOST_NAMED} more)` : '';
    return new DropbackError('drop/misplaced', 'for which database this is meant is not known', {
      hint: `there are several: drop it into ${folders.join(' or ')}${more}.`,
    });
  }
}

/** Names are bytes; readdir gives them as latin1. */
function pathOf(folder: string, key: string): Buffer {
  return Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(key, 'latin1')]);
}
