import { hidden, hiddenIn } from './hidden.ts';

/**
 * The one error class of the project.
 *
 * - `code`: stable, `area/what` in kebab case; scripts and alerts may rely on it.
 * - `message`: lowercase, one line, never holds a secret: what was configured as one is taken out.
 * - `hint`: what the user can do about it, in one or two sentences.
 * - `facts`: structured details for reports and logs (JSON-serialisable; secrets are taken out of reports).
 * - `retryable`: the same call may succeed later without anyone changing anything.
 */
export class DropbackError extends Error {
  override readonly name = 'DropbackError';
  readonly code: string;
  readonly hint: string;
  readonly facts: Readonly<Record<string, unknown>>;
  readonly retryable: boolean;

  constructor(code: string, message: string, options: DropbackErrorOptions) {
    super(hidden(message), options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = hidden(options.hint);
    this.facts = options.facts ?? {};
    this.retryable = options.retryable ?? false;
  }
}

export interface DropbackErrorOptions {
  readonly hint: string;
  readonly facts?: Readonly<Record<string, unknown>>;
  readonly retryable?: boolean;
  readonly cause?: unknown;
}

/** The shape in which an error enters a report, a manifest's state or `--json` output. */
export interface ErrorReport {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  readonly facts?: Readonly<Record<string, unknown>>;
}

/** True for the error that an aborted operation ends with, whoever aborted it. */
export function isAbort(error: unknown): boolean {
  if (error instanceof DropbackError) return error.code === 'run/aborted';
  return error instanceof Error && (error.name === 'AbortError' || error.name === 'TimeoutError');
}

/** The error that an operation ends with when its signal fires; the reason is kept as cause. */
export function abortedError(signal: AbortSignal): DropbackError {
  if (signal.reason instanceof DropbackError) return signal.reason;
  return new DropbackError('run/aborted', 'the operation was stopped before it was done', {
    hint: 'nothing to do: it stopped because it was asked to.',
    cause: signal.reason,
  });
}

export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw abortedError(signal);
}

/** Message of anything that can be thrown, on one line; configured secrets are taken out. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return hidden(text).replace(/\s*\n\s*/g, '; ');
}

/** Errors that aren't ours are wrapped, so that every report has a code and a hint. */
export function toDropbackError(error: unknown): DropbackError {
  if (error instanceof DropbackError) return error;
  const systemCode = (error as NodeJS.ErrnoException | null)?.code;
  if (systemCode === 'ENOSPC' || systemCode === 'EDQUOT') {
    return new DropbackError('disk/full', `no space left: ${messageOf(error)}`, {
      hint: 'free space on that volume, or make it larger; then try again.',
      facts: { path: (error as NodeJS.ErrnoException).path },
      cause: error,
    });
  }
  if (systemCode === 'EIO') {
    return new DropbackError('disk/failing', `the disk reports an error: ${messageOf(error)}`, {
      hint: "look at the kernel's log (dmesg) and at that disk before anything else.",
      facts: { path: (error as NodeJS.ErrnoException).path },
      cause: error,
    });
  }
  if (systemCode === 'EACCES' || systemCode === 'EPERM' || systemCode === 'EROFS') {
    return new DropbackError('disk/not-permitted', `not permitted: ${messageOf(error)}`, {
      hint: 'the folder must be writable by the user that the daemon runs as (PUID and PGID).',
      facts: { path: (error as NodeJS.ErrnoException).path },
      cause: error,
    });
  }
  if (systemCode === 'ENOTDIR') {
    return new DropbackError('disk/not-a-folder', `not a folder: ${messageOf(error)}`, {
      hint: 'something in that path is a file: check the variable that names it, and the mounts.',
      facts: { path: (error as NodeJS.ErrnoException).path },
      cause: error,
    });
  }
  if (systemCode === 'EISDIR') {
    return new DropbackError('disk/not-a-file', `a folder, not a file: ${messageOf(error)}`, {
      hint: 'Docker makes a folder where the file of a bind mount is missing: remove it, and mount the folder that the file belongs in.',
      facts: { path: (error as NodeJS.ErrnoException).path },
      cause: error,
    });
  }
  return new DropbackError('internal/unexpected', messageOf(error), {
    hint: 'this is a bug in dropback or a fault of the machine: the log has the stack.',
    ...(systemCode === undefined ? {} : { facts: { system: systemCode } }),
    cause: error,
  });
}

export function errorReport(error: unknown): ErrorReport {
  const known = toDropbackError(error);
  const report = { code: known.code, message: known.message, hint: known.hint };
  return Object.keys(known.facts).length > 0 ? { ...report, facts: hiddenIn(known.facts) } : report;
}
