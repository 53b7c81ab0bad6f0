import { throwIfAborted } from '../runtime/errors.ts';

const ANSWER_WITHIN_MS = 3000;

/** What the daemon on this machine says of a database; undefined where nobody answers at that port. */
export async function askStatus(
  { healthPort: port, name }: { readonly healthPort: number; readonly name: string },
  signal: AbortSignal,
): Promise<unknown> {
  if (port === 0) return undefined;
  try {
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_WITHIN_MS)]);
    const url = `http://127.0.0.1:${port}/status?database=${encodeURIComponent(name)}`;
    const answer = await fetch(url, { signal: bounded });
    return await answer.json();
  } catch {
    throwIfAborted(signal);
    return undefined;
  }
}
