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
  /** Time of the last change; ISO 8601, UTC. */
  readonly at: string;
  readonly attempts: number;
  readonly lastError?: ErrorReport;
}

export interface Verification {
  /** `archive`: every byte read again. `restore`: restored into a scratch database and compared. */
  readonly kind: 'archive' | 'restore';
  /** `inconclusive`: it could not be carried out, which says nothing of the backup. */
  readonly status: 'ok' | 'failed' | 'inconclusive';
  /** The copy that was read; absent: the local one. */
  readonly where?: StorePlace;
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly durationMs: number;
  /** What was counted in the scratch database and compared. */
  readonly tables?: number;
  readonly rows?: number;
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
        at: z.iso.datetime(),
        attempts: z.int().nonnegative(),
        lastError: errorReport.exactOptional(),
      })
      .exactOptional(),
  }),
  verifications: z.array(
    z.object({
      kind: z.enum(['archive', 'restore']),
      status: z.enum(['ok', 'failed', 'inconclusive']),
      where: z.enum(['local', 's3']).exactOptional(),
      at: z.iso.datetime(),
      durationMs: z.number().nonnegative(),
      tables: z.int().nonnegative().exactOptional(),
      rows: z.int().nonnegative().exactOptional(),
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

/** A change for `updateState`: a verification that was carried out, or could not be. */
export function withVerification(state: BackupState, verification: Verification): BackupState {
  // One attempt that came to nothing says as much as a hundred of them.
  const others = state.verifications.filter(
    (known) => known.status !== 'inconclusive' || placeOf(known) !== placeOf(verification),
  );
  return { ...state, verifications: [...others, verification] };
}

/** The latest of this kind that said something of the backup itself. */
export function latestVerdict(
  state: BackupState,
  kind: Verification['kind'],
  where: StorePlace = 'local',
): Verification | undefined {
  return state.verifications.findLast(
    (known) =>
      known.kind === kind && known.status !== 'inconclusive' && (known.where ?? 'local') === where,
  );
}

/**
 * Whether something has shown that the backup is good and nothing later of the same kind that it is
 * not. An archive that can be read whole does not outweigh one that didn't restore.
 */
export function isVerified(state: BackupState): boolean {
  const known = verdicts(state);
  return known.length > 0 && known.every(({ status }) => status === 'ok');
}

/** Whether the latest verification of some kind has shown that it is not good. */
export function isBad(state: BackupState): boolean {
  return verdicts(state).some(({ status }) => status === 'failed');
}

/** Whether its latest rehearsal, from whatever store, went well. */
export function isRehearsed(state: BackupState): boolean {
  const latest = state.verifications.findLast(
    ({ kind, status }) => kind === 'restore' && status !== 'inconclusive',
  );
  return latest?.status === 'ok';
}

function verdicts(state: BackupState): Verification[] {
  const all = (['local', 's3'] as const).flatMap((where) => [
    latestVerdict(state, 'archive', where),
    latestVerdict(state, 'restore', where),
  ]);
  return all.filter((verdict) => verdict !== undefined);
}

function worthKeeping(all: readonly Verification[]): Verification[] {
  const latest = new Map<string, Verification>();
  for (const one of all) if (one.status !== 'inconclusive') latest.set(placeOf(one), one);
  const kept = new Set([...latest.values(), ...all.slice(-MOST_VERIFICATIONS)]);
  return all.filter((one) => kept.has(one));
}

function placeOf({ kind, where }: Verification): string {
  return `${kind} ${where ?? 'local'}`;
}
