import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { ErrorReport } from '../runtime/errors.ts';
import type { RestoreReport } from './report.ts';

/**
 * How the CLI asks the restore daemon for something: by files in `requests/`, so that no port and
 * no other right is needed than to write there.
 *
 * 1. The CLI puts a payload, if any, into `requests/<id>/`, then creates `requests/<id>.json`
 *    (written aside, renamed). It may take that file away again while the state is `queued`.
 * 2. The daemon writes `requests/<id>.status.json` (replaced atomically), first with `queued`.
 * 3. It ends with the state `done` and a result, and the daemon removes request and payload. The
 *    status stays for a day. A request that nobody took within an hour expires.
 */
export const requestSchema = z.strictObject({
  format: z.literal('dropback-request'),
  version: z.literal(1),
  id: z.string().regex(/^[0-9a-f]{16}$/),
  /** ISO 8601, UTC. */
  createdAt: z.iso.datetime(),
  kind: z.enum(['restore', 'check', 'undo', 'drop-previous']),
  /** Name of the payload inside `requests/<id>/`; its extension says what it is. */
  file: z
    .string()
    .min(1)
    .max(255)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused.
    .regex(/^[^/\u0000-\u001f]+$/)
    .refine((name) => name !== '.' && name !== '..')
    .optional(),
  /** A backup of the catalogue, or `latest`; instead of `file`. */
  backupId: z.string().min(1).max(200).optional(),
  /** Side target: nothing is swapped. */
  into: z.string().min(1).max(255).optional(),
  /** For `undo` and `drop-previous`; the newest when it isn't given. */
  previousId: z.string().max(64).optional(),
  /** As `name.force.<ext>` of a drop. */
  force: z.boolean().optional(),
  /** Roles that the backup names and the server lacks are made first. */
  globals: z.boolean().optional(),
});

export type RestoreRequest = z.infer<typeof requestSchema>;

export interface RequestStatus {
  readonly format: 'dropback-request-status';
  readonly version: 1;
  readonly id: string;
  readonly state: 'queued' | 'running' | 'done';
  /** Step of the restore, for example `stage`. */
  readonly step?: string;
  /** Of the present step, 0 to 1. */
  readonly fraction?: number;
  /** One line for people. */
  readonly message: string;
  /** ISO 8601, UTC. */
  readonly updatedAt: string;
  /** With state `done`. */
  readonly result?: RequestResult;
}

export interface RequestResult {
  readonly exitCode: ExitCode;
  readonly report?: RestoreReport;
  readonly error?: ErrorReport;
}

/** What the CLI exits with. */
export const EXIT_CODES = {
  /** Done as asked. */
  done: 0,
  /** Failed; the live database is the one that it was. */
  failed: 1,
  /** Refused: the file or the request is at fault; the live database is the one that it was. */
  refused: 3,
  /** Done, but a container is not running or healthy: somebody must look. */
  needsAttention: 4,
  /** Nobody took it in time, or the daemon was stopped: ask again. */
  tryAgain: 75,
} as const;

/** For an error that ends a command before a daemon could answer it. */
export function exitCodeOf(code: string): ExitCode {
  if (code === 'request/not-taken' || code === 'request/no-daemon') return EXIT_CODES.tryAgain;
  if (code.startsWith('request/') || code === 'cli/no-such-file') return EXIT_CODES.refused;
  return EXIT_CODES.failed;
}

export type ExitCode = (typeof EXIT_CODES)[keyof typeof EXIT_CODES];

export function newRequestId(): string {
  return randomBytes(8).toString('hex');
}

const REQUEST_FILE = /^([0-9a-f]{16})\.json$/;

export function requestIdOf(fileName: string): string | undefined {
  return REQUEST_FILE.exec(fileName)?.[1];
}

export const requestFile = (id: string) => `${id}.json`;
export const statusFile = (id: string) => `${id}.status.json`;
