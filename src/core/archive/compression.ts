import { type FileHandle, open, statfs } from 'node:fs/promises';
import { openExclusive } from '../runtime/durable-files.ts';
import { DropbackError, toDropbackError } from '../runtime/errors.ts';
import { diskError } from '../runtime/process/disk-full.ts';
import { requireProgram } from '../runtime/process/find-program.ts';
import { type PipelineOptions, runPipeline } from '../runtime/process/pipeline.ts';
import type { Program } from '../runtime/process/program.ts';
import { decompressor } from './decompressor.ts';

/** Limits for content that nobody vouches for. Bytes. */
export interface ContentLimits {
  /** The most that decompressed content may take. */
  readonly mostBytes: number;
  /** Why, for the message: `free space on /restore`. */
  readonly because: string;
}

/** How a claimed file becomes its content. */
export interface Unpacking {
  /** Filters, the first of which is given `input`: decryption, decompression. */
  readonly filters: readonly Program[];
  readonly input: Pick<PipelineOptions, 'stdinFd' | 'feed'>;
  /** What a failure of one of the filters means. */
  readonly explain: (error: unknown) => DropbackError;
}

/**
 * Writes what the filters print whole into the new file `destination`; returns its size in bytes. It
 * isn't on disk then, which `requireWritten` sees to. Errors: `drop/too-large`, `disk/full`, and what `explain` makes of a filter's failure.
 */
export async function writeContent(
  { filters, input, explain }: Unpacking,
  destination: string,
  limits: ContentLimits,
  signal: AbortSignal,
): Promise<number> {
  await using target = await openExclusive(destination);
  // `head` ends the pipeline one byte past the limit: exact, and nothing is polled.
  const cap: Program = {
    name: 'head',
    file: requireProgram('head', 'coreutils'),
    args: ['-c', String(limits.mostBytes + 1)],
  };
  let failure: unknown;
  try {
    await runPipeline([...filters, cap], { ...input, signal, stdoutFd: target.fd });
  } catch (error) {
    failure = error;
  }
  const { size } = await target.stat();
  if (size > limits.mostBytes) throw tooLarge(limits);
  if (failure !== undefined) throw explain(diskError(failure, 'the volume of the drop folder'));
  return size;
}

/**
 * Waits until a file is on disk, and throws `disk/failing` or `disk/full` where any of it could not be
 * written: what is read back may come from memory or not. Beside other work, because it takes long.
 */
export async function requireWritten(path: string): Promise<void> {
  await using file = await open(path, 'r');
  await file.sync().catch((error: unknown) => {
    throw toDropbackError(error);
  });
}

export function tooLarge(limits: ContentLimits): DropbackError {
  return new DropbackError(
    'drop/too-large',
    `the unpacked content is larger than ${limits.mostBytes} bytes (${limits.because})`,
    {
      hint: 'if the dump is genuine, make room on the volume of the drop folder, or drop it uncompressed.',
      facts: { mostBytes: limits.mostBytes, because: limits.because },
    },
  );
}

/** zstd doesn't repeat what the system said; a stream that ends early has another number. */
const ZSTD_READ_ERROR = 37;

/**
 * `drop/truncated`, `drop/corrupt`, `drop/trailing-garbage`, `disk/*`. Tells a cut file from a damaged one; the
 * tools' own words decide only which of the two.
 */
export function decompressionError(error: unknown, compression: string): DropbackError {
  const known = toDropbackError(diskError(error, 'the volume of the drop folder'));
  if (known.code !== 'tool/failed' || known.facts['program'] !== compression) return known;
  const stderr = known.facts['stderr'];
  const said = Array.isArray(stderr) ? stderr.join('\n') : '';
  const facts = { compression, exitCode: known.facts['exitCode'], said };
  if (known.facts['exitCode'] === ZSTD_READ_ERROR && compression === 'zstd') {
    return new DropbackError('disk/failing', `the disk reports an error: ${known.message}`, {
      hint: "look at the kernel's log (dmesg) and at that disk before anything else.",
      facts,
      cause: error,
    });
  }
  if (/unexpected end|premature (gz )?end|Read error.*incomplete|truncated/i.test(said)) {
    return new DropbackError('drop/truncated', `the ${compression} data end too early`, {
      hint: 'the file was not transferred whole, or its writer was interrupted: copy it again.',
      facts,
      cause: error,
    });
  }
  if (/trailing garbage|unknown header|unsupported format|not in gzip format/i.test(said)) {
    return new DropbackError(
      'drop/trailing-garbage',
      `something that is not ${compression} follows the compressed data`,
      {
        hint: 'the file was damaged or appended to: copy it again, or dump again.',
        facts,
        cause: error,
      },
    );
  }
  return new DropbackError('drop/corrupt', `the ${compression} data are damaged`, {
    hint: 'the file was damaged on its way: compare checksums with the original, and copy it again.',
    facts,
    cause: error,
  });
}

/** Reads compressed data to the end and writes nothing: is it whole? */
export async function testCompressed(
  source: FileHandle,
  compression: 'gzip' | 'zstd',
  signal: AbortSignal,
): Promise<void> {
  try {
    const program = await decompressor(compression, { source, signal });
    await runPipeline([program], { signal, stdinFd: source.fd });
  } catch (error) {
    throw decompressionError(error, compression);
  }
}

const MOST_RATIO = 500;
const ALWAYS_ALLOWED_BYTES = 1024 ** 3;
const MOST_RESERVE_BYTES = 1024 ** 3;

/**
 * What decompressed content of a file of `compressedBytes` may take: what the volume has free, less
 * a reserve (5% of it, 1 GiB at most) for journal and reports, and no more than 500 times the file.
 */
export async function contentLimits(
  folder: string,
  compressedBytes: number,
): Promise<ContentLimits> {
  const volume = await statfs(folder);
  const reserve = Math.min(MOST_RESERVE_BYTES, volume.blocks * volume.bsize * 0.05);
  const free = Math.max(0, Math.floor(volume.bavail * volume.bsize - reserve));
  const plausible = plausibleContent(compressedBytes);
  return free < plausible.mostBytes
    ? { mostBytes: free, because: `free space on the volume of ${folder}` }
    : plausible;
}

/** The same for content that is stored nowhere. */
export function plausibleContent(compressedBytes: number): ContentLimits {
  return {
    mostBytes: Math.max(ALWAYS_ALLOWED_BYTES, compressedBytes * MOST_RATIO),
    because: `${MOST_RATIO} times the size of the file`,
  };
}
