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
  /** Oldest first: the latest 20, and of each kind and place the latest that said something. */
  readonly verifications: readonly Verification[];
}

export interface UploadState {
  readonly status: 'pending' | 'uploaded' | 'failed';
  /** `Store.identity` of where to; absent in files of older versions, which didn't note it. */
  readonly target?: string;
  /** Time of the last change; ISO 8601, UTC. */
  readonly at: string;
  readonly attempts: number;
  /** Retention has removed it there since; ISO 8601, UTC. It needn't go up again. */
  readonly removedAt?: string;
  readonly lastError?: ErrorReport;
}

export interface Verification {
  /** `archive`: every byte read again. `restore`: restored into a scratch database and compared. */
  readonly kind: 'archive' | 'restore';
  /**
   * `unreadable`: its file could not be read from where it lies; it isn't proven bad, but counts as
   * verified no longer. `inconclusive`: it could not be carried out, which says nothing of the backup.
   */
  readonly status: 'ok' | 'failed' | 'unreadable' | 'inconclusive';
  /** The copy that was read; absent: the local one. */
  readonly where?: StorePlace;
  /** By db-backup's own schedule, which alerts by itself; anything else is somebody's wish. */
  readonly onSchedule?: true;
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly durationMs: number;
  /** What was counted in the scratch database and compared. */
  readonly tables?: number;
  readonly rows?: number;
  /** What it says nothing of, though it went well; a line each. */
  readonly notCovered?: readonly string[];
  readonly error?: ErrorReport;
}

export type StorePlace = 'local' | 's3';

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
        target: z.string().exactOptional(),
        at: z.iso.datetime(),
        attempts: z.int().nonnegative(),
        removedAt: z.iso.datetime().exactOptional(),
        lastError: errorReport.exactOptional(),
      })
      .exactOptional(),
  }),
  verifications: z.array(
    z.object({
      kind: z.enum(['archive', 'restore']),
      status: z.enum(['ok', 'failed', 'unreadable', 'inconclusive']),
      where: z.enum(['local', 's3']).exactOptional(),
      onSchedule: z.literal(true).exactOptional(),
      at: z.iso.datetime(),
      durationMs: z.number().nonnegative(),
      tables: z.int().nonnegative().exactOptional(),
      rows: z.int().nonnegative().exactOptional(),
      notCovered: z.array(z.string()).exactOptional(),
      error: errorReport.exactOptional(),
    }),
  ),
});

/**
 * Updates of one file are done one after the other. The command line is another process: where both
 * write within the same milliseconds one of the two notes is lost, and made again later.
 */
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
    const state = { ...changed, verifications: worthKeeping(changed.verifications) };
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

/** A change for `updateState`: how the upload to S3 went. What it says of another place is forgotten. */
export function withS3Upload(
  state: BackupState,
  upload: {
    readonly status: UploadState['status'];
    readonly at: Date;
    readonly target: string;
    readonly error?: ErrorReport;
  },
): BackupState {
  const { status, at, target, error } = upload;
  const before = state.uploads.s3;
  const isSamePlace = before?.target === undefined || before.target === target;
  const attempts = (isSamePlace ? (before?.attempts ?? 0) : 0) + (status === 'pending' ? 0 : 1);
  const s3 = { status, target, at: at.toISOString(), attempts };
  return {
    ...(isSamePlace ? state : withoutVerdictsOnS3(state)),
    uploads: { ...state.uploads, s3: error ? { ...s3, lastError: error } : s3 },
  };
}

/** A change for `updateState`: what was uploaded there was removed by us, as it should be. */
export function withRemovalFromS3(state: BackupState, target: string, at: Date): BackupState {
  const { s3 } = state.uploads;
  if (s3?.status !== 'uploaded' || s3.target !== target) return state;
  return { ...state, uploads: { ...state.uploads, s3: { ...s3, removedAt: at.toISOString() } } };
}

/** A change for `updateState`: the copy in S3 that they were of is no more. */
export function withoutVerdictsOnS3(state: BackupState): BackupState {
  return { ...state, verifications: state.verifications.filter(({ where }) => where !== 's3') };
}

/** A change for `updateState`: a verification that was carried out, or could not be. */
export function withVerification(state: BackupState, verification: Verification): BackupState {
  // One attempt that came to nothing says as much as a hundred of them.
  const others = state.verifications.filter(
    (known) => isJudgement(known) || placeOf(known) !== placeOf(verification),
  );
  return { ...state, verifications: [...others, verification] };
}

/** Whether it says something of the backup itself. */
export function isJudgement({ status }: Verification): boolean {
  return status === 'ok' || status === 'failed';
}

function worthKeeping(all: readonly Verification[]): Verification[] {
  const latest = new Map<string, Verification>();
  for (const one of all) {
    if (one.status === 'inconclusive') continue;
    latest.set(`${placeOf(one)} ${isJudgement(one)}`, one);
  }
  const kept = new Set([...latest.values(), ...all.slice(-MOST_VERIFICATIONS)]);
  return all.filter((one) => kept.has(one));
}

function placeOf({ kind, where }: Verification): string {
  return `${kind} ${where ?? 'local'}`;
}
