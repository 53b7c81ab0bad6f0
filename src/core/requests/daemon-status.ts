import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PreviousDatabase } from '../engines/engine.ts';
import { askStatus } from './ask-status.ts';
import { noDaemon } from './no-daemon.ts';
import type { RestoreReport } from './report.ts';

/** What db-restore is doing; also in `requests/daemon.json`, replaced whenever it changes. */
export interface RestoreDaemonStatus {
  readonly state:
    | 'starting'
    | 'waiting-for-other-daemon'
    | 'recovering'
    | 'idle'
    | 'working'
    /** The journal can't be used: nothing is restored until somebody has looked. */
    | 'blocked'
    | 'stopped';
  /** ISO 8601, UTC. */
  readonly updatedAt: string;
  readonly current?: {
    readonly id: string;
    readonly name: string;
    readonly step: string;
    readonly fraction?: number;
    readonly message: string;
  };
  /** What waits, in order of arrival; of many only the first. */
  readonly queue: readonly { readonly name: string; readonly waitsFor?: string }[];
  /** How many wait in all. */
  readonly queued: number;
  readonly last?: RestoreReport;
  /** Kept databases, newest first; those of another database last. */
  readonly previous: readonly KeptDatabase[];
  /** What stands in the way of restores now. */
  readonly problems: readonly DaemonProblem[];
}

export interface KeptDatabase extends PreviousDatabase {
  /** ISO 8601, UTC. */
  readonly keptUntil: string;
  /** Name of the drop that replaced it. */
  readonly replacedBy: string;
  /** Of a database that db-restore was set to before: neither swapped in nor dropped. */
  readonly ofAnother?: true;
}

export interface DaemonProblem {
  /** Stable: an error's code. */
  readonly id: string;
  readonly message: string;
  readonly hint: string;
}

export const DAEMON_STATUS_FILE = 'daemon.json';

/** `folder`: `requests/`. Throws `request/no-daemon` where no daemon has written it. */
export async function readDaemonStatus(folder: string): Promise<RestoreDaemonStatus> {
  const text = await readFile(join(folder, DAEMON_STATUS_FILE), 'utf8').catch((error) => {
    throw noDaemon(folder, error);
  });
  return JSON.parse(text) as RestoreDaemonStatus;
}

/** What db-restore on this machine says of a database; undefined where none answers at that port. */
export async function askDaemonStatus(
  { healthPort, name }: { readonly healthPort: number; readonly name: string },
  signal: AbortSignal,
): Promise<RestoreDaemonStatus | undefined> {
  const told = await askStatus({ healthPort, name }, signal);
  const { state, queue, previous, problems } = (told ?? {}) as Partial<RestoreDaemonStatus>;
  const isOurs =
    typeof state === 'string' && [queue, previous, problems].every((list) => Array.isArray(list));
  return isOurs ? (told as RestoreDaemonStatus) : undefined;
}

/** Healthy while a restore could be carried out, or is. */
export function isRestoreLive({ state, problems }: RestoreDaemonStatus): boolean {
  return problems.length === 0 && state !== 'blocked' && state !== 'stopped';
}
