import { randomUUID } from 'node:crypto';
import type { Logger } from '../observability/log.ts';
import type { Clock } from '../runtime/clock.ts';
import {
  type Alert,
  type AlertSource,
  type Alerts,
  alertEvents,
  type News,
  type Severity,
  type Trouble,
} from './alert.ts';
import { FloodGate } from './flood.ts';
import {
  EMPTY_OUTBOX,
  type PendingAlert,
  readOutbox,
  type ToldTrouble,
  writeOutbox,
} from './outbox-file.ts';
import type { Redactor } from './redact.ts';

export interface OutboxOptions {
  /** Absolute path of the file that keeps it. */
  readonly file: string;
  readonly source: AlertSource;
  /** Who takes each alert: channels, and `relay` where another daemon fetches them. */
  readonly receivers: readonly string[];
  /** ALERT_LEVEL: nothing less urgent is noted. */
  readonly least: Severity;
  /** ALERT_REPEAT_HOURS: 0 never tells a trouble again. */
  readonly repeatMs: number;
  readonly redactor: Redactor;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Older ones are of no use to anybody. */
const MOST_AGE_MS = 86_400_000;
const MOST_PENDING = 100;
const MOST_TOLD = 300;

const rank: Readonly<Record<Severity, number>> = { info: 0, warning: 1, error: 2 };

/**
 * Alerts on their way: noted durably, handed to each receiver in order, forgotten when all have
 * taken it, after a day, or where a hundred newer ones wait. A disk that can't be written costs the
 * durability, not the alert.
 */
export class AlertOutbox implements Alerts {
  readonly #options: OutboxOptions;
  readonly #flood = new FloodGate();
  #pending: PendingAlert[] = [];
  readonly #troubles = new Map<string, ToldTrouble>();
  #told: string[] = [];
  #wake = new AbortController();
  #isLoaded = false;
  #isDirty = false;
  #isDiskBad = false;
  #saving: Promise<void> = Promise.resolve();

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /**
   * Takes up what the file holds; nothing is written before. Never throws: what can't be read is
   * told and begun anew.
   */
  async load(): Promise<void> {
    if (this.#isLoaded) return;
    const { file, log, receivers } = this.#options;
    const state = await readOutbox(file).catch((error: unknown) => {
      log.warn({ error, file }, 'the noted alerts can not be read');
      return EMPTY_OUTBOX;
    });
    const before = state.pending
      .map(({ alert, waiting }) => ({
        alert,
        waiting: waiting.filter((w) => receivers.includes(w)),
      }))
      .filter(({ waiting }) => waiting.length > 0);
    this.#pending.unshift(...before);
    for (const [name, told] of Object.entries(state.troubles)) {
      if (!this.#troubles.has(name)) this.#troubles.set(name, told);
    }
    this.#told.unshift(...state.told);
    this.#isLoaded = true;
    if (this.#isDirty) await this.#save();
  }

  async tell(news: News): Promise<void> {
    if (this.#isUrgent(news)) await this.#add(news);
  }

  async raise(trouble: Trouble, news: News): Promise<void> {
    const { clock, repeatMs } = this.#options;
    const code = news.error?.code ?? news.event;
    const known = this.#troubles.get(trouble);
    const since = known ? clock.now().getTime() - Date.parse(known.toldAt) : 0;
    const isDue = repeatMs > 0 && (since >= repeatMs || since < 0);
    if (!this.#isUrgent(news) || (known?.code === code && !isDue)) return;
    this.#troubles.set(trouble, { code, toldAt: clock.now().toISOString() });
    await this.#add(news);
  }

  async clear(trouble: Trouble, news: News): Promise<void> {
    if (this.#troubles.delete(trouble)) await this.#add(news);
  }

  /** An alert of another daemon's, to be handed on. */
  async accept(alert: Alert): Promise<void> {
    if (this.#told.includes(alert.id)) return;
    await this.#enqueue(alert);
  }

  /** The oldest alert that this receiver has not taken. */
  next(receiver: string): Alert | undefined {
    return this.waiting(receiver)[0];
  }

  /** All of them, oldest first. */
  waiting(receiver: string): Alert[] {
    this.#tidy();
    return this.#pending
      .filter(({ waiting }) => waiting.includes(receiver))
      .map(({ alert }) => alert);
  }

  /** How many alerts somebody has not taken yet. */
  get size(): number {
    return this.#pending.length;
  }

  /** Taken, or given up. */
  async settle(id: string, receiver: string): Promise<void> {
    this.#pending = this.#pending.flatMap(({ alert, waiting }) => {
      if (alert.id !== id) return [{ alert, waiting }];
      const left = waiting.filter((who) => who !== receiver);
      return left.length > 0 ? [{ alert, waiting: left }] : [];
    });
    await this.#save();
  }

  /** Until there is something new; a minute at most, since what is held back is told by the clock. */
  async changed(signal: AbortSignal): Promise<void> {
    const woken = AbortSignal.any([signal, this.#wake.signal]);
    await this.#options.clock.sleep(60_000, woken).catch(() => {});
  }

  #isUrgent({ event }: News): boolean {
    return rank[alertEvents[event]] >= rank[this.#options.least];
  }

  async #add(news: News): Promise<void> {
    const { clock, redactor, source } = this.#options;
    const id = news.id ?? randomUUID();
    if (this.#told.includes(id)) return;
    this.#tidy();
    if (!this.#flood.admits(news.event, clock.monotonic())) return;
    const { error } = news;
    await this.#enqueue({
      format: 'dropback-alert',
      version: 1,
      id,
      event: news.event,
      severity: alertEvents[news.event],
      title: redactor.line(news.title, 200),
      lines: (news.lines ?? []).slice(0, 20).map((line) => redactor.line(line)),
      at: clock.now().toISOString(),
      source: { ...source, database: redactor.line(source.database) },
      ...(error
        ? {
            error: {
              code: error.code,
              message: redactor.line(error.message),
              hint: redactor.line(error.hint),
            },
          }
        : {}),
    });
  }

  async #enqueue(alert: Alert): Promise<void> {
    const { receivers, log } = this.#options;
    this.#told = [...this.#told, alert.id].slice(-MOST_TOLD);
    this.#pending.push({ alert, waiting: receivers });
    while (this.#pending.length > MOST_PENDING) {
      const dropped = this.#pending.shift()?.alert;
      log.warn({ title: dropped?.title }, 'too many alerts wait: the oldest is given up');
    }
    await this.#save();
    this.#wake.abort();
    this.#wake = new AbortController();
  }

  #tidy(): void {
    const { clock, log } = this.#options;
    for (const { event, count } of this.#flood.takeHeld(clock.monotonic())) {
      const title = `${count} more alerts of the kind ${event} within ten minutes`;
      void this.#add({ event: 'more-alerts', title, lines: ['the log has them all'] });
    }
    const oldest = clock.now().getTime() - MOST_AGE_MS;
    this.#pending = this.#pending.filter(({ alert, waiting }) => {
      const isOld = Date.parse(alert.at) < oldest;
      if (isOld && waiting.some((who) => who !== 'relay')) {
        log.error({ title: alert.title, waiting }, 'an alert could not be delivered in a day');
      }
      return !isOld;
    });
  }

  /** Resolves when the present state is on the disk, or can't be. */
  #save(): Promise<void> {
    this.#isDirty = true;
    this.#saving = this.#saving.then(() => this.#saveNow());
    return this.#saving;
  }

  async #saveNow(): Promise<void> {
    if (!this.#isDirty || !this.#isLoaded) return;
    this.#isDirty = false;
    const { file, log } = this.#options;
    const troubles = Object.fromEntries(this.#troubles);
    try {
      await writeOutbox(file, { version: 1, pending: this.#pending, troubles, told: this.#told });
      this.#isDiskBad = false;
    } catch (error) {
      if (!this.#isDiskBad) log.warn({ error, file }, 'alerts can not be noted durably');
      this.#isDiskBad = true;
    }
  }
}
