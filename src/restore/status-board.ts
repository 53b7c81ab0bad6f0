import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../core/observability/log.ts';
import {
  DAEMON_STATUS_FILE,
  type DaemonProblem,
  type KeptDatabase,
  type RestoreDaemonStatus,
} from '../core/requests/daemon-status.ts';
import type { RestoreReport } from '../core/requests/report.ts';
import type { Clock } from '../core/runtime/clock.ts';
import { errorReport } from '../core/runtime/errors.ts';
import type { DropQueue } from './drop-folder/drop-queue.ts';
import type { PendingRequest } from './requests/inbox.ts';
import type { RestoreNews } from './restore-news.ts';

/** Of what waits: the status is written often, and read by people. */
const MOST_NAMED = 100;

/** Where the daemon's parts note what they do, for health checks and the CLI. */
export class StatusBoard {
  state: RestoreDaemonStatus['state'] = 'starting';
  current: RestoreDaemonStatus['current'] | undefined;
  #queue: RestoreDaemonStatus['queue'] = [];
  #queued = 0;
  last: RestoreReport | undefined;
  previous: readonly KeptDatabase[] = [];
  readonly #problems = new Map<string, DaemonProblem>();
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #news: RestoreNews;
  #written = '';
  #publishing: Promise<void> = Promise.resolve();

  constructor(folder: string, clock: Clock, log: Logger, news: RestoreNews) {
    this.#folder = folder;
    this.#clock = clock;
    this.#log = log;
    this.#news = news;
  }

  /** A problem of this kind, told when it is new or another one than before. */
  problem(kind: string, error: unknown, message: string): void {
    const report = errorReport(error);
    const problem = { id: report.code, message: report.message, hint: report.hint };
    const known = this.#problems.get(kind);
    this.#problems.set(kind, problem);
    this.#news.problem(kind, error);
    if (known?.id === problem.id && known.message === problem.message) return;
    this.#log.error({ error }, message);
  }

  has(kind: string): boolean {
    return this.#problems.has(kind);
  }

  solved(kind: string, message: string): void {
    this.#news.solved(kind);
    if (this.#problems.delete(kind)) this.#log.info(message);
  }

  /** Requests first: they are few. Only the first of many are named. */
  showQueue(requests: readonly PendingRequest[], drops: DropQueue): void {
    const named = requests
      .slice(0, MOST_NAMED)
      .map(({ request }) => ({ name: `${request.kind} ${request.file ?? ''}`.trim() }));
    const waiting = drops.first(MOST_NAMED - named.length);
    const shown = waiting.map(({ name, incomplete }) =>
      incomplete === undefined ? { name } : { name, waitsFor: incomplete },
    );
    this.#queue = [...named, ...shown];
    this.#queued = requests.length + drops.size;
  }

  snapshot(): RestoreDaemonStatus {
    return {
      state: this.state,
      updatedAt: this.#clock.now().toISOString(),
      ...(this.current ? { current: this.current } : {}),
      queue: this.#queue,
      queued: this.#queued,
      ...(this.last ? { last: this.last } : {}),
      previous: this.previous,
      problems: [...this.#problems.values()],
    };
  }

  /** For the CLI. Often not awaited: two writes of one file must not meet. */
  publish(): Promise<void> {
    this.#publishing = this.#publishing.then(() => this.#publishNow());
    return this.#publishing;
  }

  /** Only when something changed. A full disk must not stop the daemon here: never throws. */
  async #publishNow(): Promise<void> {
    const snapshot = this.snapshot();
    const key = JSON.stringify({ ...snapshot, updatedAt: '' });
    if (key === this.#written) return;
    const path = join(this.#folder, DAEMON_STATUS_FILE);
    try {
      await writeFile(`${path}.tmp`, `${JSON.stringify(snapshot)}\n`, { mode: 0o644 });
      await rename(`${path}.tmp`, path);
      this.#written = key;
    } catch (error) {
      this.#log.warn({ error }, 'the status could not be written');
    }
  }
}
