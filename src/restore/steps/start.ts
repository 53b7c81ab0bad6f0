import type { FailedAttempt, StartResult } from '../../core/containers/start.ts';
import { DropbackError } from '../../core/runtime/errors.ts';
import type { Job } from '../job.ts';
import type { JobRecord } from '../journal/record.ts';
import type { MachineParts } from '../parts.ts';

/** The rest of the daemon brings containers back too: after a crash, and on every poll. */
export type StartParts = Pick<
  MachineParts,
  'application' | 'stopped' | 'checkpoint' | 'clock' | 'log' | 'board' | 'lateStops'
>;

/**
 * Starts what `stopped.json` says, in reverse order, then RESTORE_START_CONTAINERS. Whatever still
 * doesn't run is a warning here, and is tried again by the daemon.
 */
export async function startStep(
  job: Job,
  parts: MachineParts,
  signal: AbortSignal,
): Promise<Partial<JobRecord>> {
  let sentAt: number | undefined;
  const onStart = (_name: string, at: Date) => {
    sentAt ??= at.getTime();
  };
  const result = await bringBack(parts, signal, { stops: 'seen', onStart });
  job.warn(...(result?.warnings ?? []));
  const downtimeMs = downtimeOf(job.record, sentAt);
  return {
    ...(downtimeMs === undefined ? {} : { downtimeMs }),
    ...(result && result.warnings.length > 0 ? { needsAttention: true } : {}),
  };
}

/** From *stop confirmed* to *start sent*, both by the wall clock: a restart may lie between. */
function downtimeOf(record: JobRecord, sentAt: number | undefined): number | undefined {
  const { stoppedAt, stopped = [], downtimeMs } = record;
  if (downtimeMs !== undefined || sentAt === undefined) return downtimeMs;
  if (stoppedAt === undefined || stopped.length === 0) return undefined;
  return Math.max(0, sentAt - Date.parse(stoppedAt));
}

export interface BringBackOptions {
  /**
   * `seen`: every container was seen stopped. `broken-off`: a stop may still be on its way, and one
   * that runs may go down yet. `earlier`: as it was said before.
   */
  readonly stops: 'seen' | 'broken-off' | 'earlier';
  readonly onStart?: (name: string, sentAt: Date) => void;
}

/**
 * Undefined where nothing is noted as stopped. `stopped.json` is removed only when everything runs,
 * and no stop can come late. Throws `journal/unusable` where it is damaged, `run/aborted`.
 */
export async function bringBack(
  parts: StartParts,
  signal: AbortSignal,
  { stops, onStart }: BringBackOptions,
): Promise<StartResult | undefined> {
  const condition = await parts.stopped.read();
  if (condition.kind === 'none') return undefined;
  const { clock, lateStops } = parts;
  if (stops === 'seen') lateStops.until = Number.NEGATIVE_INFINITY;
  // Once: trying again is no new stop.
  if (stops === 'broken-off' && lateStops.until === Number.NEGATIVE_INFINITY) {
    lateStops.until = clock.monotonic() + parts.application.lateStopMs;
  }
  if (condition.kind === 'unusable') throw stoppedUnusable();
  await parts.checkpoint('before start of containers');
  const onAttempt = ({ container, error }: FailedAttempt) => {
    parts.board.problem(OWED, error, `the application is not back: ${container} does not start`);
  };
  const options = { signal, onAttempt, ...(onStart ? { onStart } : {}) };
  const result = await parts.application.start(condition.stopped.names, options);
  await parts.checkpoint('after start of containers');
  const isBack = tellWhatIsOwed(result, parts);
  if (isBack && clock.monotonic() >= lateStops.until) await parts.stopped.remove();
  return result;
}

/** The kind of problem that the board holds while the application is down because of us. */
export const OWED = 'application';

/** Tells the board; true when everything runs. */
export function tellWhatIsOwed(result: StartResult, { board }: Pick<StartParts, 'board'>): boolean {
  const down = result.containers.filter(({ outcome }) => outcome === 'failed');
  if (down.length === 0) {
    board.solved(OWED, "the application's containers run again");
    return true;
  }
  board.problem(OWED, notBack(down), 'the application is not back; trying again on the next poll');
  return false;
}

function notBack(down: StartResult['containers']): DropbackError {
  const [first] = down;
  const names = down.map(({ name }) => name).join(', ');
  return new DropbackError(
    'containers/start-failed',
    `stopped for a restore, and cannot be started: ${names} (${first?.error?.message ?? 'unknown'})`,
    {
      hint: `${first?.error?.hint ?? 'docker logs says why.'} Where it is not to run any more, remove stopped.json beside the state file.`,
      facts: { containers: down.map(({ name }) => name) },
    },
  );
}

export function hasFailed(result: StartResult): boolean {
  return result.containers.some(({ outcome }) => outcome === 'failed');
}

function stoppedUnusable(): DropbackError {
  return new DropbackError('journal/unusable', 'stopped.json is damaged', {
    hint: 'every listed container that is not running is started instead.',
  });
}
