import type { PostgresDatabase } from '../../../config/config.ts';
import { AGE_SUFFIX } from '../../../encryption/age-encrypt.ts';
import type { Clock } from '../../../runtime/clock.ts';
import { DropbackError } from '../../../runtime/errors.ts';
import type {
  BackupEngine,
  CheckResult,
  DatabaseInfo,
  DatabaseLock,
  Dump,
  DumpPlan,
  DumpRequest,
  DumpRoom,
  LockRequest,
  ReadBack,
} from '../../engine.ts';
import { describeConnection } from '../environment.ts';
import { takeLock } from '../lock.ts';
import { backupChecks } from './checks.ts';
import { dumpDatabase, isParallel } from './dump.ts';
import { chooseJobs } from './dump-jobs.ts';
import { probeDatabase } from './probe.ts';
import { readBackArchive } from './read-back.ts';

/** Milliseconds to wait for a table that somebody locks even against reading; then once more. */
const LOCK_WAIT_MS = 60_000;

export interface PostgresBackupOptions {
  readonly database: PostgresDatabase;
  readonly clock: Clock;
  /** Milliseconds; default one minute. */
  readonly lockWaitMs?: number;
  /** Parallel dump jobs; 1: a stream. Default: `chooseJobs`. */
  readonly jobs?: number | undefined;
  /** Of age: the archive is encrypted to all of them, and so written by one job. */
  readonly recipients?: readonly string[];
}

/**
 * Backs a PostgreSQL database up with the server's own programs, rows counted beside them in the
 * same snapshot: `pg_dump -Fc | zstd | tee SPOOL | openssl dgst -sha256`; with several jobs `pg_dump -Fd -jN`
 * into a folder, and of what is done there `tar` into the spool beside `tar | openssl dgst -sha256`. With recipients
 * `pg_dump -Fc | zstd | tee WITNESS | age | tee SPOOL | openssl dgst -sha256`: the witness reads it back.
 */
export class PostgresBackupEngine implements BackupEngine {
  readonly kind = 'postgres';
  readonly description: string;
  readonly #database: PostgresDatabase;
  readonly #clock: Clock;
  readonly #lockWaitMs: number;
  /** Undefined: each dump is planned. */
  readonly #jobs: number | undefined;
  readonly #recipients: readonly string[];

  constructor(options: PostgresBackupOptions) {
    const { database, clock, lockWaitMs = LOCK_WAIT_MS, recipients = [] } = options;
    this.#database = database;
    this.#clock = clock;
    this.#lockWaitMs = lockWaitMs;
    // Several jobs need a folder on the disk, where everything would lie unencrypted.
    this.#jobs = recipients.length > 0 ? 1 : options.jobs;
    this.#recipients = recipients;
    this.description = describeConnection(database.connection);
  }

  probe(signal: AbortSignal): Promise<DatabaseInfo> {
    return probeDatabase(this.#database, signal);
  }

  checks(signal: AbortSignal): Promise<CheckResult[]> {
    return backupChecks({ ...this.#database, jobs: this.#jobs ?? 1 }, signal);
  }

  lock(request: LockRequest, signal: AbortSignal): Promise<DatabaseLock> {
    const { connection, maintenanceDatabase } = this.#database;
    const target = { connection, maintenanceDatabase, database: connection.database };
    return takeLock(target, request, this.#clock, signal);
  }

  async planDump({ freeBytes }: DumpRoom, signal: AbortSignal): Promise<DumpPlan> {
    const jobs = this.#jobs ?? (await chooseJobs(this.#database.connection, freeBytes, signal));
    const encrypted = this.#recipients.length > 0 ? AGE_SUFFIX : '';
    return { archiveExtension: (isParallel(jobs) ? '.tar' : '.dump.zst') + encrypted, jobs };
  }

  dump(request: DumpRequest, signal: AbortSignal): Promise<Dump> {
    const settings = {
      connection: this.#database.connection,
      clock: this.#clock,
      lockWaitMs: this.#lockWaitMs,
      jobs: this.#jobs ?? request.jobs ?? 1,
      recipients: this.#recipients,
    };
    return dumpDatabase(settings, request, signal);
  }

  async readBack(archivePath: string, dump: Dump, signal: AbortSignal): Promise<ReadBack> {
    const { format } = dump.archive;
    if (format !== 'postgres-custom' && format !== 'postgres-directory') {
      throw new DropbackError('archive/unreadable', `not written here: ${format}`, {
        hint: 'only archives of this engine can be read back by it.',
      });
    }
    return await readBackArchive(archivePath, dump, signal);
  }

  /** Sessions end with the operation that opened them: nothing is kept between two. */
  async [Symbol.asyncDispose](): Promise<void> {}
}
