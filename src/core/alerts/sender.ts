import type { Logger } from '../observability/log.ts';
import type { Clock } from '../runtime/clock.ts';
import { DropbackError, type ErrorReport, errorReport } from '../runtime/errors.ts';
import { type Backoff, backoffDelay } from '../runtime/retry.ts';
import type { Alert } from './alert.ts';
import type { AlertChannel } from './channel.ts';
import type { AlertOutbox } from './outbox.ts';

/** The outbox gives an alert up after a day. */
const BACKOFF: Backoff = { firstMs: 5000, mostMs: 900_000, attempts: Number.POSITIVE_INFINITY };

/** Takes alerts from the outbox to each channel, beside everything else that a daemon does. */
export class AlertSender {
  readonly #outbox: AlertOutbox;
  readonly #channels: readonly AlertChannel[];
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #errors = new Map<string, ErrorReport>();
  /** Retry-After of the latest answer. Milliseconds. */
  readonly #askedToWait = new Map<string, number>();

  constructor(
    outbox: AlertOutbox,
    channels: readonly AlertChannel[],
    parts: { readonly clock: Clock; readonly log: Logger },
  ) {
    this.#outbox = outbox;
    this.#channels = channels;
    this.#clock = parts.clock;
    this.#log = parts.log;
  }

  /** What the latest attempt of some channel failed with. */
  get lastError(): ErrorReport | undefined {
    return [...this.#errors.values()][0];
  }

  /**
   * Until `signal` fires; then what waits is tried once more, until `late` fires. A channel that
   * hangs or fails holds up none of the others. Never rejects.
   */
  async run(signal: AbortSignal, late: AbortSignal): Promise<void> {
    await Promise.all(this.#channels.map((channel) => this.#serve(channel, signal, late)));
  }

  async #serve(channel: AlertChannel, signal: AbortSignal, late: AbortSignal): Promise<void> {
    for (let failures = 0; !late.aborted; ) {
      const alert = this.#outbox.next(channel.id);
      if (!alert && signal.aborted) return;
      if (!alert) await this.#outbox.changed(signal);
      else if (await this.#send(alert, channel, failures, late)) failures = 0;
      else {
        failures += 1;
        if (signal.aborted) return;
        const asked = this.#askedToWait.get(channel.id) ?? 0;
        const delay = Math.max(asked, backoffDelay(BACKOFF, failures));
        await this.#clock.sleep(delay, signal).catch(() => {});
      }
    }
  }

  /** True when this alert is done with: taken, or never to be taken. */
  async #send(
    alert: Alert,
    channel: AlertChannel,
    failures: number,
    late: AbortSignal,
  ): Promise<boolean> {
    const facts = { alert: alert.event, channel: channel.description };
    try {
      await channel.send(alert, late);
      this.#errors.delete(channel.id);
      this.#log.info({ ...facts, title: alert.title }, 'alert sent');
    } catch (error) {
      if (late.aborted) return false;
      this.#errors.set(channel.id, errorReport(error));
      this.#askedToWait.set(channel.id, waitOf(error));
      if (!(error instanceof DropbackError) || error.retryable) {
        this.#log.warn({ ...facts, attempt: failures + 1, error }, 'an alert is not sent yet');
        return false;
      }
      this.#log.error({ ...facts, title: alert.title, error }, 'an alert was refused: given up');
    }
    await this.#outbox.settle(alert.id, channel.id);
    return true;
  }
}

function waitOf(error: unknown): number {
  const wait = error instanceof DropbackError ? error.facts['retryAfterMs'] : undefined;
  return typeof wait === 'number' ? wait : 0;
}
