import { fileURLToPath } from 'node:url';
import type { UnpackedDrop } from '../../../archive/unpacked.ts';
import type { Logger } from '../../../observability/log.ts';
import { throwIfAborted } from '../../../runtime/errors.ts';
import { capture } from '../../../runtime/process/pipeline.ts';

/** More than a terabyte takes. */
const TIMEOUT_MS = 3_600_000;

/**
 * Makes the unpacked copy of a backup of our own fit for several jobs. It came through a pipe, so
 * that its table of contents doesn't say where the data are. The dropped file itself is never
 * changed. What goes wrong here costs time alone: pg_restore then looks for the data.
 */
export async function prepareForJobs(
  drop: UnpackedDrop,
  jobs: number,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const isCopy = drop.manifest !== undefined && drop.manifest.archive.compression !== 'none';
  if (jobs === 1 || !isCopy || drop.format !== 'postgres-custom') return;
  try {
    const printed = await capture(helper(drop.path), { signal, timeoutMs: TIMEOUT_MS });
    log.debug({ entries: Number(printed) }, 'the archive says where its data are');
  } catch (error) {
    throwIfAborted(signal);
    log.warn({ error }, 'pg_restore has to look for the data of each table');
  }
}

/** The sources are run as .ts, the built ones as .js. */
function helper(path: string) {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const script = fileURLToPath(new URL(`./block-offsets-main.${extension}`, import.meta.url));
  return {
    name: 'block offsets',
    file: process.execPath,
    args: ['--disable-warning=ExperimentalWarning', script, path],
  };
}
