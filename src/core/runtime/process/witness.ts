import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { toDropbackError } from '../errors.ts';
import { requireProgram } from './find-program.ts';
import { capture } from './pipeline.ts';
import type { Program } from './program.ts';

/** For so long the other side may take to end by itself, and to say why. Milliseconds. */
const OTHERS_GRACE_MS = 5000;

/**
 * Lets one pipeline read what another one passes on: `write` copies its stream into the FIFO `fifo`
 * (`tee FIFO`), `read` gets a program that prints it. Nothing lies on a disk in between. Each begins
 * when the other does, and the failure of one ends both. The first cause is told: the writer's error, who
 * alone knows why a stream ended early, save where its reader went away first. Whichever side may be only
 * the consequence leaves the other time to say why.
 */
export async function witnessed<W, R>(
  signal: AbortSignal,
  write: (fifo: string, signal: AbortSignal) => Promise<W>,
  read: (source: Program, signal: AbortSignal) => Promise<R>,
): Promise<[W, R]> {
  const folder = await mkdtemp(join(tmpdir(), 'dropback-'));
  try {
    const fifo = join(folder, 'stream');
    const make = requireProgram('mkfifo', 'coreutils');
    await capture({ name: 'mkfifo', file: make, args: ['-m', '600', fifo] }, { signal });
    const cat = { name: 'cat', file: requireProgram('cat', 'coreutils'), args: ['--', fifo] };
    const stop = new AbortController();
    const joint = AbortSignal.any([signal, stop.signal]);
    return await settleBoth(write(fifo, joint), read(cat, joint), stop);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function settleBoth<W, R>(
  writing: Promise<W>,
  reading: Promise<R>,
  stop: AbortController,
): Promise<[W, R]> {
  let timer: NodeJS.Timeout | undefined;
  const stopLater = (error: unknown) => {
    timer ??= setTimeout(() => stop.abort(toDropbackError(error)), OTHERS_GRACE_MS);
  };
  // Its reader's programs are ending then: stopped now, they would only repeat this error.
  writing.catch((error: unknown) => {
    if (lostItsReader(error)) stopLater(error);
    else stop.abort(toDropbackError(error));
  });
  reading.catch(stopLater);
  const [written, seen] = await Promise.allSettled([writing, reading]);
  clearTimeout(timer);
  if (written.status === 'fulfilled' && seen.status === 'fulfilled') {
    return [written.value, seen.value];
  }
  if (written.status === 'fulfilled') throw (seen as PromiseRejectedResult).reason;
  throw seen.status === 'rejected' && lostItsReader(written.reason) ? seen.reason : written.reason;
}

function lostItsReader(error: unknown): boolean {
  return toDropbackError(error).facts['closedPipe'] === true;
}
