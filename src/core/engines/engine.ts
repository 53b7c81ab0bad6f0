import type { Manifest, SavedRole, TableCount } from '../archive/manifest.ts';
import type { UnpackedDrop } from '../archive/unpacked.ts';
import type { Logger } from '../observability/log.ts';

/**
 * The seam between the daemons and a kind of database.
 *
 * Implementations: `postgres/`, `sqlite/`. The contract suite in test/contracts/engine runs on each.
 *
 * Common rules:
 * - Every operation takes an AbortSignal, ends soon after it fires, and leaves nothing behind that
 *   a later call to `discard` (restore) or the removal of the spool (backup) doesn't clean up.
 * - Errors are DropbackErrors. `database/unreachable` is retryable; the engine itself retries
 *   nothing but what its comment says.
 * - No secret enters an argument list, a result or an error.
 */
export type EngineKind = 'postgres' | 'sqlite';

export interface Engine {
  readonly kind: EngineKind;
  /** For messages, without secrets: `postgresql://app@db:5432/app`, `sqlite:////data/app.db`. */
  readonly description: string;

  /** One look at the database. Throws `database/unreachable` (retryable) while it is down. */
  probe(signal: AbortSignal): Promise<DatabaseInfo>;

  /**
   * What the daemon of this purpose needs of the database: reachable, rights, tools. Never throws
   * for a finding; each missing right comes with the exact statement that grants it.
   */
  checks(signal: AbortSignal): Promise<CheckResult[]>;

  /**
   * Takes the database's one lock, across processes and hosts (PostgreSQL: advisory lock in the
   * maintenance database; SQLite: `.<file>.dropback-lock.db` beside it). Held until disposed, or
   * until this process dies. Throws `lock/busy` (retryable; facts: holder, if known) when it isn't
   * free within `waitMs`.
   */
  lock(request: LockRequest, signal: AbortSignal): Promise<DatabaseLock>;

  /** Closes pooled connections and helper processes. */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface DatabaseInfo {
  /** Version of server or library, for example `18.6`. */
  readonly version: string;
  /** False where the server answers but the database (or file) doesn't exist yet. */
  readonly exists: boolean;
  readonly sizeBytes: number;
}

export interface CheckResult {
  /** Short and stable, for example `postgres/rights/createdb`. */
  readonly id: string;
  readonly status: 'ok' | 'warning' | 'failed';
  /** One line, lowercase, says what was found. */
  readonly message: string;
  /** What to do; with the exact GRANT or command where there is one. */
  readonly hint?: string;
}

export interface LockRequest {
  readonly purpose: 'backup' | 'restore' | 'rehearsal';
  /** Milliseconds to wait for the present holder; 0 tries once. */
  readonly waitMs: number;
  /** Told once, when it turns out that there is something to wait for. */
  readonly onWait?: (holder: string | undefined) => void;
}

export interface DatabaseLock extends AsyncDisposable {
  /** Fires when the lock was lost (connection cut): whoever relies on it must stop. */
  readonly lost: AbortSignal;
}

// ---------------------------------------------------------------------------------------- backup

export interface BackupEngine extends Engine {
  /** The form of the next dump: as settings say, else as the database and the volume are now. */
  planDump(room: DumpRoom, signal: AbortSignal): Promise<DumpPlan>;

  /**
   * Writes a consistent dump of the whole database into `request.spool`, compressed, while the
   * application goes on; it need not be durable yet. The caller holds the lock. On any failure it throws and the spool
   * file's content is worthless (the caller removes it). Beside the spool it may use one folder,
   * `partialFolderOf(spool)`, which is gone when this settles; so may `readBack`.
   */
  dump(request: DumpRequest, signal: AbortSignal): Promise<Dump>;

  /**
   * Reads the archive file back whole, through decompression and the format's own reader, and
   * compares what it finds (checksum, rows of each table) with `dump`. Of an encrypted one the file is
   * read, and `dump.readOnTheWay` stands for its content. Throws
   * `backup/read-back-mismatch` naming every difference, or `archive/*` for an unreadable file.
   */
  readBack(archivePath: string, dump: Dump, signal: AbortSignal): Promise<ReadBack>;
}

export interface DumpRoom {
  /** On the volume of the spool; undefined where that can't be told. */
  readonly freeBytes: number | undefined;
}

export interface DumpPlan {
  /** What the archive file is called after its id, for example `.dump.zst`. */
  readonly archiveExtension: string;
  /** Sessions that dump at the same time. */
  readonly jobs: number;
}

export interface DumpRequest {
  /** As planned. Default: as the settings say, else 1. */
  readonly jobs?: number;
  /** Path of the file to create (mode 0600); it must not exist. */
  readonly spool: string;
  /** zstd level. */
  readonly compressionLevel: number;
  readonly excludeTableData: readonly string[];
  /** Whether `savedRoles` shall have passwords, as the server stores them. Default: no. */
  readonly rolePasswords?: boolean;
  /** `exact`: rows counted in the dump's own snapshot. `archive`: counted in the archive alone. */
  readonly rowCounts: 'exact' | 'archive';
  /** CPU niceness of the native programs. */
  readonly nice: number;
  readonly log: Logger;
}

/** Everything that the manifest needs to know of a dump; JSON-serialisable. */
export interface Dump
  extends Pick<
    Manifest,
    'database' | 'tool' | 'tables' | 'roles' | 'extensions' | 'leftOut' | 'warnings'
  > {
  /** Time of the snapshot, ISO 8601, UTC. */
  readonly snapshotAt: string;
  /** What `roles` need on another server; undefined where a database has none. */
  readonly savedRoles?: readonly SavedRole[];
  readonly archive: Omit<Manifest['archive'], 'file'>;
  /** Of an encrypted archive: what its format's reader found before it was encrypted. */
  readonly readOnTheWay?: ReadOnTheWay;
}

/**
 * What was read from the very bytes that went into the encryption, whole, while they did: nobody here
 * can read them afterwards.
 */
export interface ReadOnTheWay {
  readonly contentBytes: number;
  readonly contentSha256?: string;
  readonly tables?: readonly TableCount[];
  readonly largeObjects?: number;
}

export interface ReadBack {
  /** Rows as found in the archive; for `rowCounts: archive` they are the manifest's. */
  readonly tables: readonly TableCount[];
  readonly contentBytes: number;
}

// ------------------------------------------------------------------------------------- rehearsal

/**
 * Restores our own backups into a scratch database, to see that they restore. It never touches the
 * database that they are of, and needs nothing of it.
 */
export interface RehearsalEngine extends AsyncDisposable {
  readonly kind: EngineKind;
  /** Where the scratch database is made, without secrets. */
  readonly description: string;

  /** What a rehearsal needs: reachable, rights, tools. Never throws for a finding. */
  checks(signal: AbortSignal): Promise<CheckResult[]>;

  /**
   * One rehearsal of this database at a time, across processes. Errors as `Engine.lock`; it is
   * another lock than that one.
   */
  lock(request: Omit<LockRequest, 'purpose'>, signal: AbortSignal): Promise<DatabaseLock>;

  /** Removes what dead rehearsals left behind; returns names. The caller holds the lock. */
  sweep(log: Logger, signal: AbortSignal): Promise<string[]>;

  /**
   * Loads the archive, compares what is there with the manifest, asks the queries, and removes the
   * scratch database, whatever happened. The caller holds the lock. Throws `restore/rows-differ`,
   * `restore/not-valid`, `drop/does-not-load`, `verify/*` for what is wrong with the backup; any
   * other error says that the rehearsal could not be carried out.
   */
  rehearse(request: RehearsalRequest, signal: AbortSignal): Promise<Rehearsal>;
}

export interface RehearsalRequest {
  readonly manifest: Manifest;
  /** The archive of the manifest, its checksum compared. */
  readonly archive: UnpackedDrop;
  /** A folder of the rehearsal's own, for whatever it has to write. */
  readonly workFolder: string;
  /** BACKUP_VERIFY_SQL: each must return one row with one value that is true. */
  readonly queries: readonly string[];
  readonly log: Logger;
  /** Told in a few words what is done now. */
  readonly onProgress: (message: string) => void;
}

export interface Rehearsal {
  /** As counted in the scratch database. */
  readonly tables: readonly TableCount[];
  /** What it says nothing of, a line each; empty where the whole backup was restored and compared. */
  readonly notCovered: readonly string[];
  readonly warnings: readonly string[];
}

// --------------------------------------------------------------------------------------- restore

/**
 * A restore runs `inspect → plan → stage → check → (containers stop) → swap → (start) → finish`.
 * The machine journals before and after each. Whatever an engine needs to take up or undo a restore
 * after a crash is in its `RestoreState`, a plain JSON value that the machine stores and gives back
 * unread. `context.save(state)` makes a new version of it durable: an engine calls it before it
 * creates anything that `discard` must find again.
 */
export interface RestoreEngine extends Engine {
  /**
   * Reads the whole content, changes nothing. Throws `drop/*` (refused: the reason and what to do)
   * when this content cannot or should not be restored into this database.
   */
  inspect(drop: UnpackedDrop, context: StepContext): Promise<Inspection>;

  /**
   * Makes those of a backup's roles that the server lacks, all or none, and changes no other; where the
   * live database is the target, sets in it what roles had set in the backup's and haven't set here.
   * Both stay, whatever becomes of the restore. Only where a database has roles. Idempotent.
   */
  createRoles?(
    roles: readonly SavedRole[],
    manifest: Manifest,
    target: RestoreTarget,
    context: StepContext,
  ): Promise<CreatedRoles>;

  /** Chooses names and notes the identity of what is live now. Changes nothing. */
  plan(inspection: Inspection, target: RestoreTarget, context: StepContext): Promise<RestoreState>;

  /**
   * A plan that swaps a kept database back in; `check` and `stage` are skipped for it. Throws
   * `restore/previous-gone` where that is not there any more.
   */
  planUndo(previous: PreviousDatabase, context: StepContext): Promise<RestoreState>;

  /** Loads the content into staging, beside the live database. Bounded by the disk budget. */
  stage(
    state: RestoreState,
    drop: UnpackedDrop,
    inspection: Inspection,
    context: StepContext,
  ): Promise<RestoreState>;

  /**
   * Row counts against the manifest (where there is one), constraints, integrity, ANALYZE; then
   * everything is put on that the live database has around it (settings, owner, ACL, comment).
   */
  check(state: RestoreState, inspection: Inspection, context: StepContext): Promise<StagedCheck>;

  /**
   * Makes staging live and keeps the old one aside, at one instant. The containers are stopped and
   * the lock is held. When it throws, the live database is the old one; a doubt (lost connection
   * during COMMIT) is resolved by `outcome` before it returns or throws.
   */
  swap(state: RestoreState, context: StepContext): Promise<SwapResult>;

  /**
   * The truth, read from the database itself (by OID, by inode), for recovery. First ends what a
   * dead daemon may still have running there, so that the answer cannot change afterwards.
   */
  outcome(state: RestoreState, signal: AbortSignal): Promise<'not-swapped' | 'swapped'>;

  /**
   * What a swap that `outcome` calls done has replaced: what `swap` returned, read again from the
   * database, for a daemon that died before it could note it. `replacedAt` may be that of asking,
   * which keeps the old one rather too long. Changes nothing.
   */
  replaced(state: RestoreState, signal: AbortSignal): Promise<SwapResult>;

  /**
   * Whether a restore with this state was one of the live database that is configured now; of one
   * beside it, whether it could be begun anew here. False for another engine's. Never throws.
   */
  isOfLive(state: RestoreState): Promise<boolean>;

  /** Removes what the restore needed only while it ran (load role, placeholders). Idempotent. */
  finish(state: RestoreState, context: StepContext): Promise<void>;

  /** Removes staging and everything else of a restore that was not swapped. Idempotent. */
  discard(state: RestoreState, context: StepContext): Promise<void>;

  /** Whether a kept database is still there, and its size in bytes. */
  measurePrevious(previous: PreviousDatabase, signal: AbortSignal): Promise<number | undefined>;

  /** Drops a kept database, only if prefix, length and identity all match. Idempotent. */
  dropPrevious(previous: PreviousDatabase, context: StepContext): Promise<void>;

  /**
   * Leftovers of restores that no journal knows (prefix `dropback_`), removed; returns names. A kept
   * database goes by `dropPrevious` alone: that no record knows it is no reason.
   */
  sweep(known: readonly RestoreState[], context: StepContext): Promise<string[]>;
}

export interface StepContext {
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** Fraction done of the present step, 0 to 1. */
  readonly progress: (fraction: number) => void;
  /** Makes the engine's state durable in the journal. */
  readonly save: (state: RestoreState) => Promise<void>;
}

export type RestoreTarget =
  /** `rehearsal`: a check, which ends before the swap. What was loaded never gets further rights. */
  | { readonly kind: 'live'; readonly rehearsal?: boolean }
  /** A side database (PostgreSQL) or a file beside the live one (SQLite); nothing is swapped. */
  | { readonly kind: 'side'; readonly name: string };

/** Opaque to the machine. `engine` lets an engine refuse what isn't its own. */
export type RestoreState = Readonly<{ engine: EngineKind } & Record<string, JsonValue>>;

export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };

/** What inspection found; JSON-serialisable, part of it enters the report. */
export interface Inspection {
  readonly engine: EngineKind;
  /** What made the file, for example `pg_dump 18.6`. */
  readonly producer: string;
  /** Version of the database that it came from, when the content says so. */
  readonly sourceVersion?: string;
  /** Its sha256 is in our own catalogue. */
  readonly trusted: boolean;
  readonly expectedTables?: readonly TableCount[];
  readonly roles: { readonly known: readonly string[]; readonly missing: readonly string[] };
  readonly extensions: readonly string[];
  /** What would change: tables that appear, disappear; one line each, for `check` and reports. */
  readonly differences: readonly string[];
  readonly warnings: readonly string[];
  /** Bytes that staging may take at most. */
  readonly stagingBudgetBytes: number;
  /** Whatever the engine wants to remember for the next steps. */
  readonly details: { readonly [key: string]: JsonValue };
}

export interface CreatedRoles {
  readonly created: readonly string[];
  /** What was done and what could not be, a line each. */
  readonly notes: readonly string[];
}

export interface StagedCheck {
  readonly tables: readonly TableCount[];
  readonly warnings: readonly string[];
}

export interface SwapResult {
  /** What was live before; undefined where there was nothing (a missing target was created). */
  readonly previous?: PreviousDatabase;
  readonly warnings: readonly string[];
}

/** A database (or file) that a restore replaced and that is kept for a while. JSON. */
export interface PreviousDatabase {
  /** 16 hex digits, also part of its name. */
  readonly id: string;
  readonly engine: EngineKind;
  /** Database name, or absolute path of the file. */
  readonly name: string;
  /** OID, or inode, with which it is identified; never by name alone. */
  readonly identity: string;
  /** ISO 8601, UTC. */
  readonly replacedAt: string;
  readonly bytes: number;
}
