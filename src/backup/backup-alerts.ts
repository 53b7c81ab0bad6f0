import { type Alerts, noAlerts } from '../core/alerts/alert.ts';
import type { Pings } from '../core/alerts/pings.ts';
import type { Manifest } from '../core/archive/manifest.ts';
import type { Logger } from '../core/observability/log.ts';
import type { LogTail } from '../core/observability/log-tail.ts';
import type { RehearsedBackup } from '../core/requests/backup-status.ts';
import { type ErrorReport, errorReport } from '../core/runtime/errors.ts';
import type { LocalStore } from '../core/stores/local/store.ts';
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

/** What db-backup tells people, and when. Waits for no receiver; never throws. */
export class BackupAlerts {
  readonly #deps: AlertDependencies;
  readonly #alerts: Alerts;
  readonly #doubtsTold = new Set<string>();

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
    const last = lastGood === undefined ? 'there is no good backup yet' : `last good: ${lastGood}`;
    await this.#alerts.raise('backup', {
      event: 'backup-failed',
      title: `backup failed: ${message}`,
      lines: [`${last}${times}`],
      error: report,
    });
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

  async uploadsDrained(): Promise<void> {
    const title = 'every backup is uploaded again';
    await this.#alerts.clear('uploads', { event: 'uploads-recovered', title });
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

  /** Told once a finding, whoever verified; a restart tells nothing again. */
  async inDoubt({ id, at, status, error }: RehearsedBackup): Promise<void> {
    const finding = `doubt-${id}-${at}`;
    if (this.#doubtsTold.has(finding)) return;
    this.#doubtsTold.add(finding);
    const what = status === 'failed' ? 'is not good' : 'could not be read';
    await this.#alerts.tell({
      event: 'verification-failed',
      title: `${id} ${what}${error ? `: ${error.message}` : ''}`,
      id: finding,
      ...(error ? { error } : {}),
    });
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
