import type { AlertEvent, Alerts, News, Trouble } from '../core/alerts/alert.ts';
import type { RestoreReport } from '../core/requests/report.ts';
import { errorReport } from '../core/runtime/errors.ts';
import type { Job } from './job.ts';

interface Told {
  readonly trouble: Trouble;
  readonly event: AlertEvent;
  readonly title: string;
  readonly over: AlertEvent;
  readonly overTitle: string;
}

/** Problems of the status board that people are told of. */
const troubles = {
  application: {
    trouble: 'application',
    event: 'application-down',
    title: 'the application is down after a restore',
    over: 'application-back',
    overTitle: "the application's containers run again",
  },
  recovery: {
    trouble: 'restores',
    event: 'restores-blocked',
    title: 'restores are off',
    over: 'restores-unblocked',
    overTitle: 'restores are possible again',
  },
} as const satisfies Record<string, Told>;

/** So often a problem may be met before somebody is told: a hiccup is not worth a message. */
const TOLERATED = 2;
const MOST_WARNINGS = 5;

/** What db-restore tells people, and when. Waits for no receiver; never throws. */
export class RestoreNews {
  readonly #alerts: Alerts;
  readonly #met = new Map<string, number>();

  constructor(alerts: Alerts) {
    this.#alerts = alerts;
  }

  /** A dump that has been read and may be loaded, or an undo; not a check. */
  async started({ description }: Job): Promise<void> {
    const { id, kind, name, target } = description;
    if (kind === 'check') return;
    const where = target.kind === 'side' ? `beside the live database, into ${target.name}` : 'live';
    await this.#alerts.tell({
      id: `${id}.started`,
      event: 'restore-started',
      title: kind === 'undo' ? `undo started: ${name}` : `restore started: ${name}`,
      lines: [`restore ${id}, ${where}`],
    });
  }

  /** Told once, however often a restarted daemon comes by here. */
  async ended(report: RestoreReport): Promise<void> {
    if (report.kind === 'check') return;
    const { id, outcome, source, error, needsAttention } = report;
    const isDone = outcome === 'restored' || outcome === 'undone';
    const but = needsAttention ? ', but a container needs attention' : '';
    const done = needsAttention ? 'restore-needs-attention' : 'restore-done';
    await this.#alerts.tell({
      id: `${id}.ended`,
      event: isDone ? done : 'restore-failed',
      title: isDone ? `${outcome}: ${source}${but}` : `restore ${outcome}: ${source}`,
      lines: factsOf(report),
      ...(error ? { error } : {}),
    });
  }

  problem(kind: string, error: unknown): void {
    const known = troubles[kind as keyof typeof troubles];
    if (!known) return;
    const report = errorReport(error);
    const met = (this.#met.get(kind) ?? 0) + 1;
    this.#met.set(kind, met);
    // A journal that can't be used doesn't mend itself.
    if (met <= TOLERATED && report.code !== 'journal/unusable') return;
    const { trouble, event } = known;
    const news: News = { event, title: `${known.title}: ${report.message}`, error: report };
    void this.#alerts.raise(trouble, news);
  }

  solved(kind: string): void {
    const known = troubles[kind as keyof typeof troubles];
    if (!known) return;
    this.#met.delete(kind);
    void this.#alerts.clear(known.trouble, { event: known.over, title: known.overTitle });
  }
}

function factsOf(report: RestoreReport): string[] {
  const { id, durationMs, downtimeMs, rows, previous, warnings, error } = report;
  const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
  const away =
    downtimeMs === undefined ? '' : `, the application was stopped for ${seconds(downtimeMs)}`;
  return [
    `restore ${id}, ${seconds(durationMs)} in all${away}`,
    ...(error ? ['the live database is the one that it was'] : []),
    ...(rows === undefined ? [] : [`${rows} rows`]),
    ...(previous ? [`the previous database is kept until ${previous.keptUntil}`] : []),
    ...warnings.slice(0, MOST_WARNINGS).map((warning) => `warning: ${warning}`),
    ...(warnings.length > MOST_WARNINGS ? ['further warnings are in the report'] : []),
  ];
}
