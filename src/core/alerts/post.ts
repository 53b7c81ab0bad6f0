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
  try {
    response = await fetch(request.url, {
      method: 'POST',
      redirect: 'manual',
      headers: { 'content-type': request.contentType, ...request.headers },
      body: request.body,
      signal: AbortSignal.any([signal, timeout]),
    });
  } catch (error) {
    throwIfAborted(signal);
    throw unreachable(host, timeout.aborted ? 'no answer in time' : redactor.line(reasonOf(error)));
  }
  // The status decides; what else it says may be endless, or never come.
  const body = await beginningOf(response).catch(() => '');
  throwIfAborted(signal);
  const said = redactor.line(body.trim(), 200);
  if (!response.ok) throw refused(host, response, said);
  if (saysError(body)) throw refused(host, response, said);
}

/** Some answer 200 to everything, and say in JSON that it went wrong. */
function saysError(body: string): boolean {
  try {
    const said: unknown = JSON.parse(body);
    if (typeof said !== 'object' || said === null) return false;
    const { ok, success, error } = said as Record<string, unknown>;
    return ok === false || success === false || (Boolean(error) && ok !== true);
  } catch {
    return false;
  }
}

/** Enough of an answer to tell what is wrong; the rest is not read. */
const MOST_READ = 4096;

async function beginningOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > MOST_READ) break;
  }
  return Buffer.concat(chunks).toString('utf8', 0, MOST_READ);
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

function refused(host: string, { status, headers }: Response, said: string): DropbackError {
  const retryAfterMs = waitAskedFor(headers.get('retry-after'));
  const isRedirect = status >= 300 && status < 400;
  const what = isRedirect ? 'answered with a redirect' : 'did not take the message';
  const message = `${host} ${what} (HTTP ${status})${said === '' ? '' : `: ${said}`}`;
  return new DropbackError('alert/refused', message, {
    hint: isRedirect
      ? 'redirects are not followed: set the address that it leads to.'
      : 'compare address, token and format with what the receiver expects.',
    facts: { host, status, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) },
    retryable: !HOPELESS.has(status),
  });
}

/** Nobody is waited for longer than this. */
const LONGEST_WAIT_S = 3600;

/** Seconds or a date, as RFC 9110 has it. Milliseconds. */
function waitAskedFor(text: string | null): number | undefined {
  if (text === null) return undefined;
  const seconds = /^\d+(\.\d+)?$/.test(text)
    ? Number(text)
    : (Date.parse(text) - Date.now()) / 1000;
  return Number.isFinite(seconds)
    ? Math.min(LONGEST_WAIT_S, Math.max(0, seconds)) * 1000
    : undefined;
}
