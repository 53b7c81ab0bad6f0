import type { Manifest } from '../core/archive/manifest.ts';
import type { Application } from '../core/containers/application.ts';
import type { ContainerTurn } from '../core/containers/turns.ts';
import type { AgeIdentity } from '../core/encryption/identity.ts';
import type { RestoreEngine } from '../core/engines/engine.ts';
import type { Logger } from '../core/observability/log.ts';
import type { Clock } from '../core/runtime/clock.ts';
import type { Turnstile } from '../core/runtime/turnstile.ts';
import type { KnownArchive } from '../core/stores/catalogue.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { Folders } from './drop-folder/folders.ts';
import type { ScriptLooks } from './drop-folder/script-looks.ts';
import type { Journal } from './journal/journal.ts';
import type { PreviousRecords } from './journal/previous-records.ts';
import type { StoppedFile } from './journal/stopped.ts';
import type { RestoreHooks } from './restore-hooks.ts';
import type { RestoreNews } from './restore-news.ts';
import type { StatusBoard } from './status-board.ts';

/** What a restore needs to know of our own backups. */
export interface BackupCatalogue {
  /** The backup of ours with this checksum: the file is then trusted. */
  findBySha256(sha256: string, signal: AbortSignal): Promise<KnownArchive | undefined>;
  /**
   * Copies a backup (its id, or `latest`) into the new file `destination`, verified against its
   * manifest. Errors: `store/not-found`, `store/corrupt`, `store/unreachable`.
   */
  fetch(id: string, destination: string, signal: AbortSignal): Promise<Manifest>;
}

/** The application's containers; what ran is remembered by the machine. */
export type ApplicationControl = Pick<
  Application,
  | 'isConfigured'
  | 'resolve'
  | 'resolvePatiently'
  | 'listed'
  | 'running'
  | 'stop'
  | 'confirmStopped'
  | 'start'
  | 'lateStopMs'
>;

export interface MachineSettings {
  readonly stopFirst: boolean;
  readonly keepPreviousMs: number;
  readonly waitForBackupMs: number;
  /** Milliseconds for each of inspect, stage and check; undefined: by the size of the content. */
  readonly timeoutMs?: number;
  /** Milliseconds that bringing things in order may take once the daemon has been asked to end. */
  readonly endGraceMs: number;
  /** Of which its containers may take to be back; the next start goes on. Milliseconds. */
  readonly startGraceMs: number;
  /** How often a job is begun before it is given up. */
  readonly mostAttempts: number;
}

/** What every step works with. */
export interface MachineParts {
  readonly engine: RestoreEngine;
  readonly application: ApplicationControl;
  /** Where other databases' restores may stop the same containers. */
  readonly turn?: ContainerTurn;
  readonly catalogue: BackupCatalogue;
  readonly folders: Folders;
  readonly journal: Journal;
  readonly stopped: StoppedFile;
  readonly previous: PreviousRecords;
  readonly settings: MachineSettings;
  /** RESTORE_AGE_IDENTITY: what opens encrypted drops. */
  readonly identity?: AgeIdentity | undefined;
  /** What was seen of scripts before they were claimed; PostgreSQL alone. */
  readonly scripts?: ScriptLooks | undefined;
  readonly hooks: RestoreHooks;
  readonly news: RestoreNews;
  readonly clock: Clock;
  readonly log: Logger;
  readonly checkpoint: Checkpoint;
  /** What a person should know of while it lasts: makes the daemon unhealthy. */
  readonly board: Pick<StatusBoard, 'problem' | 'solved'>;
  /**
   * Monotonic milliseconds: until then a stop that was broken off may still take effect, so that
   * `stopped.json` stays and the containers are looked at again on every poll.
   */
  readonly lateStops: { until: number };
  /** Where many databases' daemons begin together: how many of them tidy up at the same time. */
  readonly tidying?: Turnstile;
  /** Set when something could not be removed: the daemon sweeps when it is idle. */
  readonly leftovers: { found: boolean };
}
