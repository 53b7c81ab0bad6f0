import { z } from 'zod';
import type { Logger } from '../observability/log.ts';
import type { Clock } from '../runtime/clock.ts';
import { messageOf } from '../runtime/errors.ts';
import { type AlertsOffer, MOST_OFFERED } from './offer.ts';
import { alertSchema } from './outbox-file.ts';
import type { RelayTarget } from './relay-desk.ts';

/** What `/alerts` of the health endpoint answers with. */
const answerSchema = z.object({
  alerts: z.array(alertSchema).max(MOST_OFFERED),
  leftOut: z.int().min(0).default(0),
});

const EVERY_MS = 10_000;
const TIMEOUT_MS = 5000;
const MOST_BYTES = 1024 * 1024;

/**
 * Hands on the alerts of a daemon that has no way out of its network (ALERT_RELAY_URL): asks its
 * endpoint, and hands over what is new. Each alert is told once, by its id.
 */
export class AlertRelay {
  readonly #url: string;
  readonly #target: RelayTarget;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #everyMs: number;
  #isAway = false;

  constructor(
    url: string,
    target: RelayTarget,
    parts: { readonly clock: Clock; readonly log: Logger; readonly everyMs?: number },
  ) {
    this.#url = new URL('/alerts', url).href;
    this.#target = target;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#everyMs = parts.everyMs ?? EVERY_MS;
  }

  /** Until the signal fires. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#look(signal);
      await this.#clock.sleep(this.#everyMs, signal).catch(() => {});
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    try {
      const bounded = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
      const response = await fetch(this.#url, { redirect: 'error', signal: bounded });
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
      await this.#take(answerSchema.parse(JSON.parse(await boundedText(response))));
      if (this.#isAway) this.#log.info({ url: this.#url }, 'alerts are handed on again');
      this.#isAway = false;
    } catch (error) {
      if (signal.aborted) return;
      // Once: the other daemon may well be switched off.
      const reason = messageOf((error as { cause?: unknown }).cause ?? error);
      const level = this.#isAway ? 'debug' : 'warn';
      this.#log[level]({ url: this.#url, reason }, "db-restore's alerts can not be fetched");
      this.#isAway = true;
    }
  }

  async #take({ alerts, leftOut }: AlertsOffer): Promise<void> {
    // One that is known was on offer before, and so was everything older than it.
    const isGap = leftOut > 0 && !alerts.some(({ id }) => this.#target.knows(id));
    for (const alert of alerts) await this.#target.accept(alert);
    if (!isGap) return;
    const title = `${leftOut} alerts of db-restore are not handed on: too many at a time`;
    await this.#target.tell({ event: 'more-alerts', title, lines: ["db-restore's log has them"] });
  }
}

async function boundedText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > MOST_BYTES) throw new Error('the answer is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
