import type { Manifest } from '../../core/archive/manifest.ts';
import { DropbackError, errorReport, isAbort } from '../../core/runtime/errors.ts';
import type { Store } from '../../core/stores/store.ts';
import { verdictOf } from './verdict.ts';

/**
 * As `store.verify`, but a copy is called bad only once it was read so twice: a flipped bit on a bus, in a
 * memory or on a line is gone the second time, and says nothing of what is stored:
 * `verify/read-differently`, which is inconclusive.
 */
export async function readTwiceIfBad(
  manifest: Manifest,
  store: Store,
  signal: AbortSignal,
  onProgress: (bytes: number) => void,
): Promise<void> {
  try {
    await store.verify(manifest, signal, onProgress);
  } catch (error) {
    if (verdictOf(error) !== 'failed') throw error;
    await readAgain(manifest, store, error, signal, onProgress);
    throw readDifferently(manifest, store, error);
  }
}

async function readAgain(
  manifest: Manifest,
  store: Store,
  first: unknown,
  signal: AbortSignal,
  onProgress: (bytes: number) => void,
): Promise<void> {
  try {
    await store.verify(manifest, signal, onProgress);
  } catch (second) {
    if (isAbort(second) && signal.aborted) throw second;
    throw verdictOf(second) === 'failed' ? first : second;
  }
}

function readDifferently({ id }: Manifest, store: Store, error: unknown): DropbackError {
  const { code, message } = errorReport(error);
  return new DropbackError(
    'verify/read-differently',
    `${id} was read twice from ${store.description}, and was good the second time only: ${message}`,
    {
      hint: 'something on the way gives back what isn’t stored: look at the kernel’s log (dmesg), test the memory and the line, and verify it again.',
      facts: { id, first: { code, message } },
      cause: error,
    },
  );
}
