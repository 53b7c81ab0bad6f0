import type {
  Inspection,
  PreviousDatabase,
  RestoreState,
  RestoreTarget,
  StagedCheck,
} from '../../core/engines/engine.ts';
import type { RestoreReport, StepReport } from '../../core/requests/report.ts';
import type { FilingPlace } from '../drop-folder/filing.ts';

/** Where a job came from. */
export type JobSource =
  | { readonly kind: 'drop'; readonly mode: 'restore' | 'check' }
  | { readonly kind: 'request'; readonly requestId: string };

export type StepName =
  | 'claim'
  | 'inspect'
  | 'stage'
  | 'check'
  | 'stop'
  | 'swap'
  | 'start'
  | 'file-away';

/** What a job is about, known before it begins. */
export interface JobDescription {
  /** `20261122T191500Z-1f2e3d4c`; also the name of its work folder. */
  readonly id: string;
  readonly kind: 'restore' | 'check' | 'undo';
  readonly source: JobSource;
  /** Made harmless; for messages, reports, done/ and failed/. */
  readonly name: string;
  /** The name as dropped: base64 of its bytes. */
  readonly rawName: string;
  readonly force: boolean;
  /** Missing roles of the backup are to be made. */
  readonly globals?: true;
  readonly target: RestoreTarget;
  /** Backup to fetch instead of a file to claim. */
  readonly backupId?: string;
  /** For an undo: what is swapped back in. */
  readonly previous?: PreviousDatabase;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
}

/** Everything that a restarted daemon needs to take a job up or to undo it. JSON. */
export interface JobRecord {
  readonly job: JobDescription;
  /** Counted from 1; one more whenever the daemon died in the middle. */
  readonly attempt: number;
  readonly step: StepName;
  /** `intent` before the step, `done` after it. */
  readonly phase: 'intent' | 'done';
  /** Of the file in the drop folder, noted before it is moved. */
  readonly sourceSignature?: string;
  /** Of the claimed file. */
  readonly claimed?: {
    readonly bytes: number;
    readonly sha256: string;
    readonly signature: string;
  };
  readonly backupOfOurs?: string;
  readonly inspection?: Inspection;
  readonly state?: RestoreState;
  readonly check?: StagedCheck;
  /** True once the database itself has said so. */
  readonly swapped: boolean;
  readonly replaced?: PreviousDatabase;
  readonly steps: readonly StepReport[];
  readonly warnings: readonly string[];
  readonly stopped?: readonly string[];
  /** ISO 8601, UTC; both for the downtime of a restore that a restart finishes. */
  readonly stoppedAt?: string;
  /** Some came back before the swap, and their second stop has not been seen to its end. */
  readonly stoppingAgain?: boolean;
  readonly downtimeMs?: number;
  /** A container that should be up again isn't, or isn't healthy: a warning says which. */
  readonly needsAttention?: boolean;
  /** The daemon was asked to end and undid what it had begun: taking it up again is no retry. */
  readonly parked?: boolean;
  /** Set when everything is decided; all that is left is filing away. */
  readonly report?: RestoreReport;
  /** Where the file and the report go, chosen before anything is moved there. */
  readonly place?: FilingPlace;
}

/** The body of the journal file. */
export interface JournalBody {
  /** The job in hand, or null. */
  readonly record: JobRecord | null;
  /** The report of the last job, for people and for status. */
  readonly last: RestoreReport | null;
}
