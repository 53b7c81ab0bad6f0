/**
 * Runs two operations side by side. The failure of one aborts the other; neither is left running
 * when this settles, and the error is the one that came first.
 */
export async function together<A, B>(
  signal: AbortSignal,
  first: (signal: AbortSignal) => Promise<A>,
  second: (signal: AbortSignal) => Promise<B>,
): Promise<[A, B]> {
  const stop = new AbortController();
  const joint = AbortSignal.any([signal, stop.signal]);
  let failure: { readonly error: unknown } | undefined;
  const watched = async <T>(operation: (signal: AbortSignal) => Promise<T>): Promise<T> => {
    try {
      return await operation(joint);
    } catch (error) {
      failure ??= { error };
      stop.abort(error);
      throw error;
    }
  };
  const [a, b] = await Promise.allSettled([watched(first), watched(second)]);
  if (a.status === 'fulfilled' && b.status === 'fulfilled') return [a.value, b.value];
  throw failure?.error;
}
