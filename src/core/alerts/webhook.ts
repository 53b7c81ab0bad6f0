import type { WebhookConfig } from '../config/config.ts';
import type { Redactor } from '../runtime/redact.ts';
import type { Alert } from './alert.ts';
import { type AlertChannel, SEND_TIMEOUT_MS } from './channel.ts';
import { post } from './post.ts';
import { reach } from './reach.ts';
import { webhookBody } from './webhook-body.ts';

/** Posts JSON, in the shape that the receiver understands. */
export class Webhook implements AlertChannel {
  readonly id = 'webhook';
  readonly description: string;
  readonly #config: WebhookConfig;
  readonly #redactor: Redactor;
  readonly #timeoutMs: number | undefined;

  constructor(config: WebhookConfig, redactor: Redactor, timeoutMs?: number) {
    this.#config = config;
    this.#redactor = redactor;
    this.#timeoutMs = timeoutMs;
    // The path is the secret of most receivers.
    this.description = `webhook (${config.format}) at ${new URL(config.url).host}`;
  }

  async send(alert: Alert, signal: AbortSignal): Promise<void> {
    const { format, url, token } = this.#config;
    const { url: target, body } = webhookBody(format, url, alert);
    const request = {
      url: target,
      body: JSON.stringify(body),
      contentType: 'application/json; charset=utf-8',
      ...(token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }),
      ...(this.#timeoutMs === undefined ? {} : { timeoutMs: this.#timeoutMs }),
    };
    // ntfy's topic is in the address, and not in what is asked for.
    await post(request, this.#redactor.withAddress(url), signal);
  }

  probe(signal: AbortSignal): Promise<void> {
    const timeoutMs = this.#timeoutMs ?? SEND_TIMEOUT_MS;
    return reach(this.#config.url, { redactor: this.#redactor, timeoutMs }, signal);
  }
}
