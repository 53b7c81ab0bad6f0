import { z } from 'zod';
import type { Logger } from '../observability/log.ts';
import type { Clock } from '../runtime/clock.ts';
import { messageOf } from '../runtime/errors.ts';
import type { AlertOutbox } from './outbox.ts';
import { alertSchema } from './outbox-file.ts';

/** What `/alerts` of the health endpoint answers with. */
const answerSchema = z.object({ alerts: z.array(alertSchema).max(200) });

const EVERY_MS = 10_000;
const TIMEOUT_MS = 5000;
const MOST_BYTES = 1024 * 1024;

/**
 * Hands on the alerts of a daemon that has no way out of its network (ALERT_RELAY_URL): asks its
 * endpoint, and puts what is new into the own outbox. Each alert is told once, by its id.
 */
export class AlertRelay {
  readonly #url: string;
  readonly #outbox: AlertOutbox;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #everyMs: number;
  #isAway = false;

  constructor(
    url: string,
    outbox: AlertOutbox,
    parts: { readonly clock: Clock; readonly log: Logger; readonly everyMs?: number },
  ) {
    this.#url = new URL('/alerts', url).href;
    this.#outbox = outbox;
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
      const { alerts } = answerSchema.parse(JSON.parse(await boundedText(response)));
      for (const alert of alerts) await this.#outbox.accept(alert);
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
