import type { Logger } from '../core/observability/log.ts';
import { DropbackError, isAbort } from '../core/runtime/errors.ts';
import type { BackupAlerts } from './backup-alerts.ts';
import type { BackupHistory } from './history.ts';
import type { CutShortRun, RunMarks } from './run-marks.ts';

export interface UntoldDependencies {
  readonly marks: RunMarks;
  readonly history: BackupHistory;
  readonly alerts: BackupAlerts;
  readonly log: Logger;
}

/** Finds runs of which nobody was told: their process was killed, in the run or right after its failure. */
export class UntoldRuns {
  readonly #deps: UntoldDependencies;

  constructor(deps: UntoldDependencies) {
    this.#deps = deps;
  }

  /** Notes those as failures, and has people told. What can't be found out now is looked at the next time. */
  async tell(signal: AbortSignal): Promise<void> {
    const { marks, log } = this.#deps;
    try {
      await marks.takeCutShort((run) => this.#tellOf(run), signal);
    } catch (error) {
      if (isAbort(error) && signal.aborted) throw error;
      log.debug({ error }, 'unfinished runs could not be looked for');
    }
  }

  /** At a start: whoever noted the last failure may have been killed before it was told. */
  async tellAtStart(signal: AbortSignal): Promise<void> {
    await this.tell(signal);
    const { history, alerts } = this.#deps;
    const { lastFailure, lastGood } = history;
    if (history.lastRunFailed && lastFailure) await alerts.stillFailed(lastFailure, lastGood?.id);
  }

  async #tellOf(run: CutShortRun): Promise<void> {
    const { history, alerts, log } = this.#deps;
    const good = history.lastGood;
    // Killed after it was listed, or another has gone well since.
    if (good && Date.parse(good.createdAt) >= Date.parse(run.startedAt)) return;
    const error = cutShort(run);
    await history.noteFailure(error);
    log.error({ error }, 'backup failed');
    await alerts.runFailed(error, history.failures, good?.id);
  }
}

function cutShort({ startedAt }: CutShortRun): DropbackError {
  const at = `${startedAt.slice(0, 19)}Z`;
  return new DropbackError(
    'backup/cut-short',
    `the backup begun at ${at} was cut short: it was killed`,
    {
      hint: 'the machine was switched off, the container was killed, or memory ran out: see the kernel’s log (dmesg) and `docker inspect` (OOMKilled).',
      facts: { startedAt },
    },
  );
}
