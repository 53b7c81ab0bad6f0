import type { Alert } from './alert.ts';

/**
 * A way to people: the seam of alerts.
 *
 * Contract: `send` resolves when the receiver has taken the alert, and ends by itself within half a
 * minute, as `probe` does. Sent twice, an alert carries the same id. Errors: `alert/unreachable`, `alert/refused`
 * (retryable unless this very message is what is refused), `run/aborted`; no error names a secret.
 */
export interface AlertChannel {
  readonly id: ChannelId;
  /** For logs and `dropback alert`; without secrets. */
  readonly description: string;
  send(alert: Alert, signal: AbortSignal): Promise<void>;
  /** Whether it could be sent one now, as far as that shows without sending: connects, logs in. */
  probe(signal: AbortSignal): Promise<void>;
}

export type ChannelId = 'webhook' | 'email';

/** What one attempt may take. Milliseconds. */
export const SEND_TIMEOUT_MS = 20_000;
