import type { FailedAttempt, StartResult } from '../core/containers/start.ts';
import { DropbackError } from '../core/runtime/errors.ts';
import type { MachineParts } from './parts.ts';

/** Containers are brought back after a restore, after a crash, and on every poll. */
export type StartParts = Pick<
  MachineParts,
  'application' | 'stopped' | 'checkpoint' | 'clock' | 'log' | 'board' | 'lateStops'
>;

export interface BringBackOptions {
  /**
   * `seen`: every container was seen stopped. `broken-off`: a stop may still be on its way, and one
   * that runs may go down yet. `earlier`: as it was said before.
   */
  readonly stops: 'seen' | 'broken-off' | 'earlier';
  readonly onStart?: (name: string, sentAt: Date) => void;
}

/**
 * Starts what `stopped.json` says; where that is damaged, every listed container that is down.
 * Undefined where nothing is noted as stopped. The note is removed only when everything runs, and no
 * stop can come late. Throws `run/aborted`, and what Docker throws where the note is damaged.
 */
export async function bringBack(
  parts: StartParts,
  signal: AbortSignal,
  { stops, onStart }: BringBackOptions,
): Promise<StartResult | undefined> {
  const condition = await parts.stopped.read();
  if (condition.kind === 'none') return undefined;
  noteStops(parts, stops);
  const isDamaged = condition.kind === 'unusable';
  if (isDamaged) parts.log.error('stopped.json is damaged: every listed container is started');
  const names = isDamaged ? await listedAndDown(parts, signal) : condition.stopped.names;
  const result = await start(names, parts, signal, onStart);
  const isBack = !hasFailed(result);
  if (isBack && parts.clock.monotonic() >= parts.lateStops.until) await parts.stopped.remove();
  return result;
}

/** For when nobody knows what ran: every listed container that is down. Throws as bringBack. */
export async function startAllListed(parts: StartParts, signal: AbortSignal): Promise<StartResult> {
  return await start(await listedAndDown(parts, signal), parts, signal);
}

/** The kind of problem that the board holds while the application is down because of us. */
export const OWED = 'application';

export function hasFailed(result: StartResult): boolean {
  return result.containers.some(({ outcome }) => outcome === 'failed');
}

function noteStops(
  { lateStops, clock, application }: StartParts,
  stops: BringBackOptions['stops'],
) {
  if (stops === 'seen') lateStops.until = Number.NEGATIVE_INFINITY;
  // Once: trying again is no new stop.
  if (stops === 'broken-off' && lateStops.until === Number.NEGATIVE_INFINITY) {
    lateStops.until = clock.monotonic() + application.lateStopMs;
  }
}

async function listedAndDown({ application }: StartParts, signal: AbortSignal): Promise<string[]> {
  const listed = await application.listed(signal);
  const running = await application.running(listed, signal);
  return listed.filter((name) => !running.includes(name));
}

async function start(
  names: readonly string[],
  parts: StartParts,
  signal: AbortSignal,
  onStart?: BringBackOptions['onStart'],
): Promise<StartResult> {
  await parts.checkpoint('before start of containers');
  const onAttempt = ({ container, error }: FailedAttempt) => {
    parts.board.problem(OWED, error, `the application is not back: ${container} does not start`);
  };
  const options = { signal, onAttempt, ...(onStart ? { onStart } : {}) };
  const result = await parts.application.start(names, options);
  await parts.checkpoint('after start of containers');
  tellWhatIsOwed(result, parts);
  return result;
}

function tellWhatIsOwed(result: StartResult, { board }: StartParts): void {
  const down = result.containers.filter(({ outcome }) => outcome === 'failed');
  if (down.length === 0) board.solved(OWED, "the application's containers run again");
  else board.problem(OWED, notBack(down), 'the application is not back; trying again');
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
