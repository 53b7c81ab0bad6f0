import { type Alerts, noAlerts } from '../core/alerts/alert.ts';
import type { Pings } from '../core/alerts/pings.ts';
import type { Manifest } from '../core/archive/manifest.ts';
import { doubtOf } from '../core/archive/state-findings.ts';
import type { Logger } from '../core/observability/log.ts';
import type { LogTail } from '../core/observability/log-tail.ts';
import {
  type BackupStatus,
  type FailedRun,
  type RehearsedBackup,
  uploadsLagBehind,
} from '../core/requests/backup-status.ts';
import { OWN_PLACE } from '../core/retention/report.ts';
import { type ErrorReport, errorReport } from '../core/runtime/errors.ts';
import type { LocalStore } from '../core/stores/local/store.ts';
import { goneError, type LostCopies } from './lost-copies.ts';
import { sizeDrop } from './size-drop.ts';

export interface AlertDependencies {
  readonly alerts?: Alerts;
  readonly pings?: Pings;
  /** The log since the run began. */
  readonly logTail?: LogTail;
  readonly local: LocalStore;
  readonly log: Logger;
}

/** Rounds of uploads that fail in a row before somebody is told: a hiccup is not worth a message. */
const TOLERATED_ROUNDS = 2;
const DOUBT_OF = 'doubt of ';

/** What db-backup tells people, and when. Waits for no receiver; never throws. */
export class BackupAlerts {
  readonly #deps: AlertDependencies;
  readonly #alerts: Alerts;

  constructor(deps: AlertDependencies) {
    this.#deps = deps;
    this.#alerts = deps.alerts ?? noAlerts;
  }

  runStarted(): void {
    this.#deps.logTail?.clear();
    this.#deps.pings?.started();
  }

  async runSucceeded(manifest: Manifest, signal: AbortSignal): Promise<void> {
    this.#deps.pings?.succeeded(this.#tail);
    await this.recovered(manifest);
    await this.#lookAtSize(manifest, signal);
  }

  /** There is a good backup, whoever made it. */
  async recovered({ id, archive }: Manifest): Promise<void> {
    const title = `backups work again: ${id}, ${archive.bytes} bytes`;
    await this.#alerts.clear('backup', { event: 'backup-recovered', title });
  }

  async runFailed(error: unknown, failures: number, lastGood?: string): Promise<void> {
    const report = errorReport(error);
    const { code, message, hint } = report;
    this.#deps.pings?.failed(`${this.#tail}\n${code}: ${message}\nhint: ${hint}`);
    const times = failures > 1 ? ` (failed ${failures} times in a row)` : '';
    await this.#lastRunFailed(report, `${lastGoodText(lastGood)}${times}`);
  }

  /** A noted failure that no good run has followed: whoever noted it may not have come to tell it. */
  async stillFailed({ at, error }: FailedRun, lastGood?: string): Promise<void> {
    await this.#lastRunFailed(error, `at ${at.slice(0, 19)}Z; ${lastGoodText(lastGood)}`);
  }

  async #lastRunFailed(error: ErrorReport, line: string): Promise<void> {
    const title = `backup failed: ${error.message}`;
    await this.#alerts.raise('backup', { event: 'backup-failed', title, lines: [line], error });
  }

  /** Before the first run of this process. */
  async databaseIsAway(error: unknown, attempt: number): Promise<void> {
    if (attempt < 9) return;
    const report = errorReport(error);
    await this.#alerts.raise('backup', {
      event: 'backup-failed',
      title: `no backups: ${report.message}`,
      lines: ['the database is waited for'],
      error: report,
    });
  }

  /** `failures`: rounds in a row. */
  async uploadsFailed(error: ErrorReport, backlog: number, failures: number): Promise<void> {
    if (failures <= TOLERATED_ROUNDS) return;
    await this.#alerts.raise('uploads', {
      event: 'uploads-behind',
      title: `${backlog} ${backlog === 1 ? 'backup is' : 'backups are'} not uploaded: ${error.message}`,
      lines: ['local backups go on, and nothing that is not uploaded is removed'],
      error,
    });
  }

  /** Those that arrive, but more slowly than backups are made. */
  async lookAtUploads(status: BackupStatus, now: Date): Promise<void> {
    if (status.lastUploadError || !uploadsLagBehind(status, now)) return;
    const { uploadBacklog: backlog, oldestNotUploaded = '' } = status;
    await this.#alerts.raise('uploads', {
      event: 'uploads-behind',
      title: `${backlog} backups are not uploaded, the oldest since ${oldestNotUploaded.slice(0, 19)}Z: uploads are too slow`,
      lines: ['local backups go on, and nothing that is not uploaded is removed'],
    });
  }

  async uploadsDrained(): Promise<void> {
    const title = 'every backup is uploaded again';
    await this.#alerts.clear('uploads', { event: 'uploads-recovered', title });
  }

  /** Somebody else deleted them, perhaps all of them: told each time, though those here go up again. */
  async copiesLost({ again, forGood }: LostCopies, where: string): Promise<void> {
    const ids = [...again.map(({ id }) => id), ...forGood];
    if (ids.length === 0) return;
    const error = errorReport(goneError(ids, where));
    const lines = [
      ...(again.length > 0 ? [`${again.length} still here: uploaded again`] : []),
      ...(forGood.length > 0
        ? [`${forGood.length} were there alone: nothing is left of them`]
        : []),
    ];
    const title = `uploaded backups are gone: ${error.message}`;
    await this.#alerts.tell({ event: 'copies-lost', title, lines, error });
  }

  async copiesUnseen(error: ErrorReport): Promise<void> {
    const title = `uploaded backups can't be seen: ${error.message}`;
    await this.#alerts.raise('copies', { event: 'copies-unseen', title, error });
  }

  async copiesSeen(): Promise<void> {
    const title = 'uploaded backups can be seen again';
    await this.#alerts.clear('copies', { event: 'copies-seen-again', title });
  }

  /** Whether another db-backup writes to the remote store under the same name. */
  async placeIs(whose: 'own' | 'shared', where: string): Promise<void> {
    if (whose === 'own') {
      const title = `no other db-backup writes to ${where} any more`;
      return await this.#alerts.clear('place', { event: 'place-own-again', title });
    }
    const title = `another db-backup writes to ${where} too`;
    const lines = [OWN_PLACE, 'until then each prunes its own backups alone'];
    await this.#alerts.raise('place', { event: 'place-shared', title, lines });
  }

  async rehearsed({ id, status, error }: RehearsedBackup): Promise<void> {
    const why = error ? `: ${error.message}` : '';
    if (status === 'failed' || status === 'unreadable') {
      const what = status === 'failed' ? 'does not restore as it should' : 'could not be read';
      const title = `${id} ${what}${why}`;
      const news = { event: 'verification-failed', title, ...(error ? { error } : {}) } as const;
      return await this.#alerts.raise('verification', news);
    }
    if (status === 'inconclusive') {
      const title = `${id} could not be verified${why}`;
      const news = {
        event: 'verification-impossible',
        title,
        ...(error ? { error } : {}),
      } as const;
      return await this.#alerts.raise('rehearsal', news);
    }
    const news = { event: 'verification-recovered', title: `${id} restores as it should` } as const;
    await this.#alerts.clear('verification', news);
    await this.#alerts.clear('rehearsal', news);
  }

  /**
   * All that a verification has left in doubt, whoever verified: each finding is told once, and that it
   * stands no longer; a restart tells nothing again.
   */
  async inDoubt(doubts: readonly RehearsedBackup[]): Promise<void> {
    for (const { id, at, status, error } of doubts) {
      const what = status === 'failed' ? 'is not good' : 'could not be read';
      await this.#alerts.raise(`${DOUBT_OF}${id}`, {
        event: 'verification-failed',
        title: `${id} ${what}${error ? `: ${error.message}` : ''}`,
        id: `doubt-${id}-${at}`,
        ...(error ? { error } : {}),
      });
    }
    const now = new Set(doubts.map(({ id }) => id));
    for (const trouble of this.#alerts.standing()) {
      const id = trouble.startsWith(DOUBT_OF) ? trouble.slice(DOUBT_OF.length) : undefined;
      if (id !== undefined && !now.has(id)) await this.#outOfDoubt(id);
    }
  }

  async #outOfDoubt(id: string): Promise<void> {
    const state = await this.#deps.local.readState(id).catch(() => undefined);
    if (!state || doubtOf(state)) return;
    const isVerified = state.verifications.length > 0;
    const title = isVerified
      ? `${id} is good: it was verified again`
      : `${id}, which was in doubt, is kept no longer`;
    await this.#alerts.clear(`${DOUBT_OF}${id}`, { event: 'verification-recovered', title });
  }

  async postHookEnded(thrown?: unknown): Promise<void> {
    if (thrown === undefined) {
      const title = 'BACKUP_POST_HOOK works again';
      return await this.#alerts.clear('backup-hook', { event: 'hook-recovered', title });
    }
    const error = errorReport(thrown);
    const title = `BACKUP_POST_HOOK failed: ${error.message}`;
    await this.#alerts.raise('backup-hook', { event: 'hook-failed', title, error });
  }

  get #tail(): string {
    return this.#deps.logTail?.text ?? '';
  }

  async #lookAtSize(manifest: Manifest, signal: AbortSignal): Promise<void> {
    const { local, log } = this.#deps;
    try {
      const drop = sizeDrop(manifest, (await local.list(signal)).backups);
      if (!drop) {
        const title = `the backup's size is as usual again: ${manifest.archive.bytes} bytes`;
        return await this.#alerts.clear('size', { event: 'size-as-usual', title });
      }
      const title = `${manifest.id} has ${drop.bytes} bytes; the last ones had ${drop.median} (median)`;
      log.warn({ id: manifest.id, ...drop }, 'the backup is much smaller than those before it');
      await this.#alerts.raise('size', {
        event: 'backup-shrunk',
        title,
        lines: ['see whether rows were deleted, or whether too much is left out of backups'],
      });
    } catch (error) {
      log.debug({ error }, "the backup's size could not be compared");
    }
  }
}

function lastGoodText(id: string | undefined): string {
  return id === undefined ? 'there is no good backup yet' : `last good: ${id}`;
}
