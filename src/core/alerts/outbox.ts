import { randomUUID } from 'node:crypto';
import type { Logger } from '../observability/log.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Redactor } from '../runtime/redact.ts';
import {
  type Alert,
  type AlertEvent,
  type AlertSource,
  type Alerts,
  alertEvents,
  type News,
  type Severity,
  type Trouble,
} from './alert.ts';
import { composeAlert, newsOfHeld } from './compose.ts';
import type { FloodedSource, FloodGate } from './flood.ts';
import {
  EMPTY_OUTBOX,
  type HeldAlerts,
  type OutboxState,
  type PendingAlert,
  readOutbox,
  type ToldTrouble,
} from './outbox-file.ts';
import { OutboxSaving } from './outbox-saving.ts';
import type { RelayTarget } from './relay-desk.ts';

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
  /** Shared with whoever reaches the same people. */
  readonly flood: FloodGate;
  readonly redactor: Redactor;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Older ones are of no use to anybody. */
const MOST_AGE_MS = 86_400_000;
const MOST_PENDING = 100;
/** More than another daemon offers at a time: what is on offer for a day must not be told twice. */
const MOST_TOLD = 1000;

const rank: Readonly<Record<Severity, number>> = { info: 0, warning: 1, error: 2 };

/**
 * Alerts on their way: noted durably, handed to each receiver in order, forgotten when all have
 * taken it, after a day, or where a hundred newer ones wait. A disk that can't be written costs the
 * durability, not the alert.
 */
export class AlertOutbox implements Alerts, RelayTarget, FloodedSource {
  readonly #options: OutboxOptions;
  readonly #held = new Map<string, HeldAlerts>();
  #pending: PendingAlert[] = [];
  readonly #troubles = new Map<string, ToldTrouble>();
  #told: string[] = [];
  #givenUp = 0;
  #wake = new AbortController();
  #isLoaded = false;
  readonly #saving: OutboxSaving;

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.#saving = new OutboxSaving(options.file, () => this.#state(), options.log);
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
    this.#givenUp += state.givenUp;
    this.#resumeHeld(state.held);
    this.#isLoaded = true;
    await this.#saving.open();
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

  standing(): readonly string[] {
    return [...this.#troubles.keys()];
  }

  get name(): string {
    return this.#options.source.name;
  }

  knows(id: string): boolean {
    return this.#told.includes(id);
  }

  /** An alert of another daemon's, to be handed on. */
  async accept(alert: Alert): Promise<void> {
    if (!this.knows(alert.id)) await this.#enqueue(alert);
  }

  forget(event: AlertEvent): void {
    if (this.#held.delete(event)) void this.#saving.save();
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
    // Somebody is there again who can be told.
    if (this.#givenUp > 0) await this.#tellGivenUp();
    else await this.#saving.save();
  }

  /** When what is known is on the disk, or can't be. */
  saved(): Promise<void> {
    return this.#saving.saved();
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
    const { clock, flood } = this.#options;
    const id = news.id === undefined ? randomUUID() : wellFormed(news.id);
    if (this.knows(id)) return;
    this.#tidy();
    if (!flood.admits(news.event, this, clock.monotonic())) return await this.#hold(news.event);
    await this.#enqueue(composeAlert(news, id, clock.now(), this.#options));
  }

  /** Only their number is kept: the log has what they say. */
  async #hold(event: AlertEvent): Promise<void> {
    const known = this.#held.get(event);
    const since = known?.since ?? this.#options.clock.now().toISOString();
    this.#held.set(event, { count: (known?.count ?? 0) + 1, since });
    const saving = this.#saving.save();
    // That there are some must be known after a crash; of a flood not each one is waited for.
    if (!known) await saving;
  }

  #resumeHeld(held: Readonly<Record<string, HeldAlerts>>): void {
    const { clock, flood } = this.#options;
    const now = clock.monotonic();
    for (const [event, { count, since }] of Object.entries(held)) {
      if (!Object.hasOwn(alertEvents, event)) continue;
      const age = Math.max(0, clock.now().getTime() - Date.parse(since));
      flood.resume(event as AlertEvent, this, count, now - age);
      const here = this.#held.get(event)?.count ?? 0;
      this.#held.set(event, { count: count + here, since });
    }
  }

  async #tellGivenUp(): Promise<void> {
    const title = `${this.#givenUp} alerts were given up: too many waited, or for too long`;
    this.#givenUp = 0;
    await this.#add({ event: 'more-alerts', title, lines: ['the log names them'] });
  }

  async #enqueue(alert: Alert): Promise<void> {
    const { receivers } = this.#options;
    this.#told = [...this.#told, alert.id].slice(-MOST_TOLD);
    this.#pending.push({ alert, waiting: receivers });
    while (this.#pending.length > MOST_PENDING) {
      const dropped = this.#pending.shift();
      if (dropped) this.#giveUp(dropped, 'too many alerts wait: the oldest is given up');
    }
    await this.#saving.save();
    this.#wake.abort();
    this.#wake = new AbortController();
  }

  #giveUp({ alert, waiting }: PendingAlert, why: string): void {
    // What another daemon fetches is never settled: age is its regular end.
    if (waiting.every((who) => who === 'relay')) return;
    this.#givenUp += 1;
    this.#options.log.error({ title: alert.title, waiting }, why);
  }

  #tidy(): void {
    const { clock, flood } = this.#options;
    for (const held of flood.takeHeld(clock.monotonic())) void this.#add(newsOfHeld(held));
    const oldest = clock.now().getTime() - MOST_AGE_MS;
    this.#pending = this.#pending.filter((pending) => {
      const isOld = Date.parse(pending.alert.at) < oldest;
      if (isOld) this.#giveUp(pending, 'an alert could not be delivered in a day');
      return !isOld;
    });
  }

  #state(): OutboxState {
    return {
      version: 1,
      pending: this.#pending,
      troubles: Object.fromEntries(this.#troubles),
      told: this.#told,
      held: Object.fromEntries(this.#held),
      givenUp: this.#givenUp,
    };
  }
}

/** As the file and the relay take ids: one that they don't would cost all that is noted. */
function wellFormed(id: string): string {
  return id.replaceAll(/[^A-Za-z0-9._-]/g, '_').slice(-100);
}
