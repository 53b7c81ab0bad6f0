import { DropbackError, isAbort, messageOf, throwIfAborted } from '../runtime/errors.ts';
import type { Redactor } from '../runtime/redact.ts';
import { SEND_TIMEOUT_MS } from './channel.ts';

export interface Post {
  readonly url: string;
  readonly body: string;
  readonly contentType: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Milliseconds. */
  readonly timeoutMs?: number;
}

/** Statuses that say: this message will never do, whoever asks again. */
const HOPELESS = new Set([400, 413, 415, 422]);

/**
 * One HTTP POST. Redirects are not followed: a POST that becomes a GET would look delivered, and a
 * token would go elsewhere. Errors: `alert/unreachable`, `alert/refused`, `run/aborted`.
 */
export async function post(request: Post, redactor: Redactor, signal: AbortSignal): Promise<void> {
  throwIfAborted(signal);
  const { host } = new URL(request.url);
  const timeout = AbortSignal.timeout(request.timeoutMs ?? SEND_TIMEOUT_MS);
  let response: Response;
  let said: string;
  try {
    response = await fetch(request.url, {
      method: 'POST',
      redirect: 'manual',
      headers: { 'content-type': request.contentType, ...request.headers },
      body: request.body,
      signal: AbortSignal.any([signal, timeout]),
    });
    said = redactor.line(await beginningOf(response), 200);
  } catch (error) {
    throwIfAborted(signal);
    throw unreachable(host, timeout.aborted ? 'no answer in time' : redactor.line(reasonOf(error)));
  }
  if (!response.ok) throw refused(host, response.status, said);
}

/** Enough of an answer to tell what is wrong; the rest is not read. */
async function beginningOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > 4096) break;
  }
  return Buffer.concat(chunks).toString('utf8').trim();
}

/** fetch's own message is `fetch failed`: what happened is in its cause. */
function reasonOf(error: unknown): string {
  const { cause } = error as { cause?: unknown };
  return isAbort(error) || cause === undefined ? messageOf(error) : messageOf(cause);
}

function unreachable(host: string, reason: string): DropbackError {
  return new DropbackError('alert/unreachable', `${host} could not be reached: ${reason}`, {
    hint: 'see whether this container may reach that address; it is tried again.',
    facts: { host },
    retryable: true,
  });
}

function refused(host: string, status: number, said: string): DropbackError {
  const isRedirect = status >= 300 && status < 400;
  const what = isRedirect ? 'answered with a redirect' : 'did not take the message';
  const message = `${host} ${what} (HTTP ${status})${said === '' ? '' : `: ${said}`}`;
  return new DropbackError('alert/refused', message, {
    hint: isRedirect
      ? 'redirects are not followed: set the address that it leads to.'
      : 'compare address, token and format with what the receiver expects.',
    facts: { host, status },
    retryable: !HOPELESS.has(status),
  });
}
