import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeDurably } from '../runtime/durable-files.ts';
import type { ErrorReport } from '../runtime/errors.ts';
import { STATE_SUFFIX } from './archive-name.ts';

/** What became of a backup after it was made; may change, unlike its manifest. */
export interface BackupState {
  readonly version: 1;
  readonly uploads: { readonly s3?: UploadState };
  /** Oldest first, the latest 20. */
  readonly verifications: readonly Verification[];
}

export interface UploadState {
  readonly status: 'pending' | 'uploaded' | 'failed';
  /** Time of the last change; ISO 8601, UTC. */
  readonly at: string;
  readonly attempts: number;
  readonly lastError?: ErrorReport;
}

export interface Verification {
  readonly kind: 'archive' | 'restore';
  readonly status: 'ok' | 'failed';
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly durationMs: number;
  readonly error?: ErrorReport;
}

export const EMPTY_STATE: BackupState = { version: 1, uploads: {}, verifications: [] };
const MOST_VERIFICATIONS = 20;

const errorReport: z.ZodType<ErrorReport> = z.object({
  code: z.string(),
  message: z.string(),
  hint: z.string(),
  facts: z.record(z.string(), z.unknown()).exactOptional(),
});

const stateSchema: z.ZodType<BackupState> = z.object({
  version: z.literal(1),
  uploads: z.object({
    s3: z
      .object({
        status: z.enum(['pending', 'uploaded', 'failed']),
        at: z.iso.datetime(),
        attempts: z.int().nonnegative(),
        lastError: errorReport.exactOptional(),
      })
      .exactOptional(),
  }),
  verifications: z.array(
    z.object({
      kind: z.enum(['archive', 'restore']),
      status: z.enum(['ok', 'failed']),
      at: z.iso.datetime(),
      durationMs: z.number().nonnegative(),
      error: errorReport.exactOptional(),
    }),
  ),
});

/** Updates of one file are done one after the other; this process is the only writer. */
const pending = new Map<string, Promise<unknown>>();

export function stateFilePath(folder: string, id: string): string {
  return join(folder, id + STATE_SUFFIX);
}

/**
 * The state of a backup. A missing or damaged file is an empty state, which is the safe answer:
 * a backup without one counts as not uploaded and not verified.
 */
export async function readState(folder: string, id: string): Promise<BackupState> {
  let text: string;
  try {
    await using file = await open(stateFilePath(folder, id));
    text = await file.readFile('utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return EMPTY_STATE;
    throw error;
  }
  try {
    return stateSchema.parse(JSON.parse(text));
  } catch {
    return EMPTY_STATE;
  }
}

/** Replaces the state by what `change` makes of it, durably and atomically. Returns the new one. */
export function updateState(
  folder: string,
  id: string,
  change: (state: BackupState) => BackupState,
): Promise<BackupState> {
  const path = stateFilePath(folder, id);
  const run = async () => {
    const changed = change(await readState(folder, id));
    const state = { ...changed, verifications: changed.verifications.slice(-MOST_VERIFICATIONS) };
    await writeDurably(path, `${JSON.stringify(stateSchema.parse(state), null, 2)}\n`);
    return state;
  };
  const before = pending.get(path) ?? Promise.resolve();
  const after = before.then(run, run);
  const settled = after.then(
    () => {},
    () => {},
  );
  pending.set(path, settled);
  settled.then(() => {
    if (pending.get(path) === settled) pending.delete(path);
  });
  return after;
}

/** A change for `updateState`: how the upload to S3 went. */
export function withS3Upload(
  state: BackupState,
  status: UploadState['status'],
  at: Date,
  lastError?: ErrorReport,
): BackupState {
  const attempts = (state.uploads.s3?.attempts ?? 0) + (status === 'pending' ? 0 : 1);
  const upload = { status, at: at.toISOString(), attempts };
  return {
    ...state,
    uploads: { ...state.uploads, s3: lastError ? { ...upload, lastError } : upload },
  };
}

/** A change for `updateState`: a verification that was carried out. */
export function withVerification(state: BackupState, verification: Verification): BackupState {
  return { ...state, verifications: [...state.verifications, verification] };
}

/** Whether the latest verification, of whatever kind, went well. */
export function isVerified(state: BackupState): boolean {
  return state.verifications.at(-1)?.status === 'ok';
}
