import { randomUUID } from 'node:crypto';
import type { Logger } from '../observability/log.ts';
import type { Clock } from '../runtime/clock.ts';
import { DropbackError } from '../runtime/errors.ts';
import type { Redactor } from '../runtime/redact.ts';
import { type Backoff, backoffDelay } from '../runtime/retry.ts';
import { post } from './post.ts';
import { reach } from './reach.ts';

export type PingKind = 'start' | 'success' | 'fail' | 'log';

interface Ping {
  readonly kind: PingKind;
  readonly run: string;
  readonly text: string;
}

const TIMEOUT_MS = 10_000;
const BACKOFF: Backoff = { firstMs: 2000, mostMs: 60_000, attempts: 8 };
/** Receivers keep 10 to 100 kB. */
const MOST_TEXT = 10_000;

/**
 * A dead man's switch: each run's start and end, as healthchecks.io takes them. Nothing waits for a
 * ping; a newer one replaces one that could not be delivered yet, since only the latest counts.
 */
export class Pings {
  readonly #url: string;
  readonly #redactor: Redactor;
  readonly #clock: Clock;
  readonly #log: Logger;
  #run = randomUUID();
  #next: Ping | undefined;
  #isLate = new AbortController();
  #newer = new AbortController();
  #working: Promise<void> | undefined;

  constructor(
    url: string,
    redactor: Redactor,
    parts: { readonly clock: Clock; readonly log: Logger },
  ) {
    this.#url = url;
    this.#redactor = redactor;
    this.#clock = parts.clock;
    this.#log = parts.log;
  }

  started(): void {
    this.#run = randomUUID();
    this.#push('start', '');
  }

  succeeded(logTail: string): void {
    this.#push('success', logTail);
  }

  failed(logTail: string): void {
    this.#push('fail', logTail);
  }

  /** One message that changes nothing, now. Throws what went wrong. */
  test(signal: AbortSignal): Promise<void> {
    return this.#send({ kind: 'log', run: this.#run, text: 'a test of dropback' }, signal);
  }

  /** Whether the receiver can be reached; sends nothing. Throws `alert/unreachable`. */
  probe(signal: AbortSignal): Promise<void> {
    return reach(this.#url, { redactor: this.#redactor, timeoutMs: TIMEOUT_MS }, signal);
  }

  get description(): string {
    return `ping to ${new URL(this.#url).host}`;
  }

  /** Settles when the latest ping is away or given up; ends all attempts when `late` fires. */
  async settle(late: AbortSignal): Promise<void> {
    const end = () => this.#isLate.abort();
    late.addEventListener('abort', end, { once: true });
    if (late.aborted) end();
    await this.#working;
    late.removeEventListener('abort', end);
  }

  #push(kind: PingKind, text: string): void {
    this.#next = { kind, run: this.#run, text };
    this.#newer.abort();
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
    });
  }

  async #work(): Promise<void> {
    for (let ping = this.#take(); ping && !this.#isLate.signal.aborted; ping = this.#take()) {
      await this.#deliver(ping);
    }
  }

  #take(): Ping | undefined {
    const ping = this.#next;
    this.#next = undefined;
    this.#newer = new AbortController();
    return ping;
  }

  async #deliver(ping: Ping): Promise<void> {
    const late = this.#isLate.signal;
    const waiting = AbortSignal.any([late, this.#newer.signal]);
    for (let attempt = 1; attempt <= BACKOFF.attempts; attempt++) {
      try {
        return await this.#send(ping, late);
      } catch (error) {
        if (late.aborted) return;
        this.#log.warn({ ping: ping.kind, attempt, error }, 'a ping was not delivered');
        if (error instanceof DropbackError && !error.retryable) return;
      }
      await this.#clock.sleep(backoffDelay(BACKOFF, attempt), waiting).catch(() => {});
      if (waiting.aborted) return;
    }
  }

  #send({ kind, run, text }: Ping, signal: AbortSignal): Promise<void> {
    const url = new URL(this.#url);
    if (kind !== 'success') url.pathname = `${url.pathname.replace(/\/$/, '')}/${kind}`;
    // Tells runs apart, so that the receiver knows how long each took.
    url.searchParams.set('rid', run);
    const body = this.#redactor.text(text).slice(-MOST_TEXT);
    const request = { url: url.href, body, contentType: 'text/plain; charset=utf-8' };
    const redactor = this.#redactor.withAddress(this.#url);
    return post({ ...request, timeoutMs: TIMEOUT_MS }, redactor, signal);
  }
}
