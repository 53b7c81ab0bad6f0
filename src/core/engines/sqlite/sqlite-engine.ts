import type { SqliteDatabase } from '../../config/config.ts';
import type { Logger } from '../../observability/log.ts';
import type { Clock } from '../../runtime/clock.ts';
import { DropbackError } from '../../runtime/errors.ts';
import type { CheckResult, DatabaseInfo, DatabaseLock, Engine, LockRequest } from '../engine.ts';
import { check } from './checks.ts';
import { takeLock } from './lock.ts';
import { type Location, locate } from './owner.ts';
import { SqliteTool } from './tool-client.ts';

export interface SqliteEngineOptions {
  readonly database: SqliteDatabase;
  readonly log: Logger;
  readonly clock: Clock;
  readonly tool?: SqliteTool;
}

/** What both sides have in common. */
export abstract class SqliteEngine implements Engine {
  readonly kind = 'sqlite';
  readonly description: string;
  protected readonly database: SqliteDatabase;
  protected readonly log: Logger;
  protected readonly clock: Clock;
  protected readonly tool: SqliteTool;
  protected abstract readonly purpose: 'backup' | 'restore';

  constructor(options: SqliteEngineOptions) {
    this.database = options.database;
    this.log = options.log;
    this.clock = options.clock;
    this.tool = options.tool ?? new SqliteTool();
    // The path is absolute: four slashes, as in DATABASE_URL.
    this.description = `sqlite:///${options.database.path}`;
  }

  async probe(signal: AbortSignal): Promise<DatabaseInfo> {
    const { path, exists, runAs } = await this.locate();
    if (exists) {
      try {
        const facts = await this.tool.ask('probe', { path }, { runAs, signal });
        return { version: facts.sqliteVersion, exists: true, sizeBytes: facts.bytes };
      } catch (error) {
        // Where the daemon may not look into the folder itself, this is how it learns.
        if (!(error instanceof DropbackError && error.code === 'database/missing')) throw error;
      }
    }
    const version = await this.tool.ask('version', null, { signal });
    return { version, exists: false, sizeBytes: 0 };
  }

  checks(signal: AbortSignal): Promise<CheckResult[]> {
    return check(this.tool, () => this.locate(), this.purpose, signal);
  }

  async lock(request: LockRequest, signal: AbortSignal): Promise<DatabaseLock> {
    return takeLock(this.tool, await this.locate(), request, signal);
  }

  /** Nothing outlives a call. */
  async [Symbol.asyncDispose](): Promise<void> {}

  protected locate(): Promise<Location> {
    return locate(this.database.path, this.purpose);
  }
}
