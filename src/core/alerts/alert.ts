import type { ErrorReport } from '../runtime/errors.ts';

export type Severity = 'info' | 'warning' | 'error';

/** What somebody may be told of, and how urgent it is. */
export const alertEvents = {
  'backup-failed': 'error',
  'backup-recovered': 'info',
  /** Much smaller than those before it. */
  'backup-shrunk': 'warning',
  'size-as-usual': 'info',
  'verification-failed': 'error',
  /** It could not be carried out: nothing is known of the backup. */
  'verification-impossible': 'warning',
  'verification-recovered': 'info',
  'uploads-behind': 'warning',
  'uploads-recovered': 'info',
  /** Somebody else deleted them in the remote store. */
  'copies-lost': 'error',
  /** Whether the newest is still there can't be seen. */
  'copies-unseen': 'warning',
  'copies-seen-again': 'info',
  /** Another db-backup writes there under the same name. */
  'place-shared': 'warning',
  'place-own-again': 'info',
  'hook-failed': 'warning',
  'hook-recovered': 'info',
  'restore-started': 'info',
  'restore-done': 'info',
  /** Restored, and a container that was to run does not, or is not healthy. */
  'restore-needs-attention': 'warning',
  'restore-failed': 'error',
  /** Nothing is restored until a person has looked. */
  'restores-blocked': 'error',
  'restores-unblocked': 'info',
  'application-down': 'error',
  'application-back': 'info',
  /** Several of one event within a short time, told as one. */
  'more-alerts': 'warning',
  test: 'info',
} as const satisfies Record<string, Severity>;

export type AlertEvent = keyof typeof alertEvents;

/** One message to people. JSON, without secrets; receivers get it as it is from a `json` webhook. */
export interface Alert {
  readonly format: 'dropback-alert';
  readonly version: 1;
  /** The same for every attempt to deliver it. */
  readonly id: string;
  readonly event: AlertEvent;
  readonly severity: Severity;
  /** One line. */
  readonly title: string;
  /** Further lines. */
  readonly lines: readonly string[];
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly source: AlertSource;
  readonly error?: Pick<ErrorReport, 'code' | 'message' | 'hint'>;
}

/** Who speaks. */
export interface AlertSource {
  readonly program: 'db-backup' | 'db-restore' | 'dropback';
  /** BACKUP_NAME. */
  readonly name: string;
  /** As its engine describes it, without a password. */
  readonly database: string;
}

/** What a part of a daemon has to say. */
export interface News {
  readonly event: AlertEvent;
  readonly title: string;
  readonly lines?: readonly string[];
  readonly error?: ErrorReport;
  /** Makes it known again after a restart: the same id is told once. Default: a random one. */
  readonly id?: string;
}

/** Troubles that last: told when they begin, change and end. */
export type Trouble =
  | 'backup'
  | 'size'
  | 'verification'
  | 'rehearsal'
  | 'uploads'
  | 'place'
  | 'copies'
  | 'backup-hook'
  | 'application'
  | 'restores'
  | DoubtTrouble;

/** A backup, by its id, that a verification has left in doubt. */
export type DoubtTrouble = `doubt of ${string}`;

/**
 * Where daemons say what somebody should hear of.
 *
 * Contract: each call resolves once the news is noted (on the local disk, where that can be written),
 * and never waits for a receiver; it never rejects. Delivery happens elsewhere, in order for each
 * receiver, retried for a day.
 */
export interface Alerts {
  /** Something that happened. More than ten of an event in ten minutes become one message. */
  tell(news: News): Promise<void>;
  /**
   * A trouble begins or goes on: told when it is new, when its error's code is another one, and
   * again after ALERT_REPEAT_HOURS.
   */
  raise(trouble: Trouble, news: News): Promise<void>;
  /** The trouble is over: told only where it had been told. */
  clear(trouble: Trouble, news: News): Promise<void>;
  /** Troubles that were told, by an earlier process too, and aren't over. */
  standing(): readonly string[];
}

/** Where nobody asked to be told. */
export const noAlerts: Alerts = {
  async tell() {},
  async raise() {},
  async clear() {},
  standing: () => [],
};
