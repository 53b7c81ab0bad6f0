import { once } from 'node:events';
import type { Transporter } from 'nodemailer';
import type { EmailConfig } from '../config/config.ts';
import { DropbackError, messageOf, throwIfAborted } from '../runtime/errors.ts';
import type { Redactor } from '../runtime/redact.ts';
import type { Alert } from './alert.ts';
import { type AlertChannel, SEND_TIMEOUT_MS } from './channel.ts';
import { linesOf, titleOf } from './text.ts';

/** Replies that refuse this very message: too large, or its content. RFC 5321, 4.2.3. */
const HOPELESS = new Set([552, 554]);

/** Plain text by SMTP. A password is never sent without TLS. */
export class Email implements AlertChannel {
  readonly id = 'email';
  readonly description: string;
  readonly #config: EmailConfig;
  readonly #redactor: Redactor;
  readonly #timeoutMs: number;

  constructor(config: EmailConfig, redactor: Redactor, timeoutMs = SEND_TIMEOUT_MS) {
    this.#config = config;
    this.#redactor = redactor;
    this.#timeoutMs = timeoutMs;
    this.description = `e-mail to ${config.to.join(', ')} by ${config.host}:${config.port}`;
  }

  async send(alert: Alert, signal: AbortSignal): Promise<void> {
    const { from, to } = this.#config;
    await this.#talk(signal, 'the mail', async (transport, either) => {
      await transport.sendMail({
        from,
        to: [...to],
        subject: titleOf(alert),
        text: `${linesOf(alert).join('\n')}\n`,
        messageId: `<${alert.id}@dropback>`,
        date: new Date(alert.at),
        // No answers of the "out of office" kind. RFC 3834.
        headers: { 'Auto-Submitted': 'auto-generated' },
        signal: either,
      });
    });
  }

  async probe(signal: AbortSignal): Promise<void> {
    await this.#talk(signal, 'the connection', async (transport, either) => {
      throwIfAborted(either);
      // It takes no signal; its own time-outs end what is given up here.
      const ended = once(either, 'abort').then(() => throwIfAborted(either));
      await Promise.race([transport.verify(), ended]);
    });
  }

  async #talk(
    signal: AbortSignal,
    what: string,
    work: (transport: Transporter, either: AbortSignal) => Promise<void>,
  ): Promise<void> {
    throwIfAborted(signal);
    const timeout = AbortSignal.timeout(this.#timeoutMs);
    const transport = await this.#open();
    try {
      await work(transport, AbortSignal.any([signal, timeout]));
    } catch (error) {
      throwIfAborted(signal);
      throw this.#failure(error, what, timeout.aborted);
    } finally {
      transport.close();
    }
  }

  async #open(): Promise<Transporter> {
    const { host, port, secure, user, password } = this.#config;
    // Loaded by the first mail that is sent: few are, and the library is large.
    const { createTransport } = await import('nodemailer');
    return createTransport({
      host,
      port,
      secure,
      ...(user === undefined ? {} : { auth: { user, pass: password ?? '' }, requireTLS: !secure }),
      connectionTimeout: this.#timeoutMs,
      greetingTimeout: this.#timeoutMs,
      socketTimeout: this.#timeoutMs,
      dnsTimeout: this.#timeoutMs,
      // Nothing in a message is ever a path or an address to fetch.
      disableFileAccess: true,
      disableUrlAccess: true,
    });
  }

  #failure(error: unknown, what: string, isTimeout: boolean): DropbackError {
    const { host } = this.#config;
    const { responseCode } = error as { responseCode?: number };
    const reason = isTimeout ? 'no answer in time' : this.#redactor.line(messageOf(error), 300);
    if (responseCode === undefined) {
      return new DropbackError('alert/unreachable', `${host} did not take ${what}: ${reason}`, {
        hint: 'see whether this container may reach the mail server, and whether it speaks TLS.',
        facts: { host },
        retryable: true,
      });
    }
    return new DropbackError('alert/refused', `${host} refused ${what}: ${reason}`, {
      hint: 'compare user, password, sender and recipients with what the mail server allows.',
      facts: { host, status: responseCode },
      retryable: !HOPELESS.has(responseCode),
    });
  }
}
