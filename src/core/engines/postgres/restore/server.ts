import type { PostgresConnection, PostgresDatabase } from '../../../config/config.ts';
import type { Logger } from '../../../observability/log.ts';
import type { Clock } from '../../../runtime/clock.ts';
import { connect } from '../connection.ts';
import type { Session } from '../session.ts';

export interface PostgresRestoreOptions {
  /** The database to restore into, with the identity that the application's URL names. */
  readonly database: PostgresDatabase;
  /** RESTORE_ADMIN_URL: the control identity. Default: the database's own connection. */
  readonly admin?: PostgresConnection;
  /** RESTORE_LOAD_URL: a login role that foreign files are loaded as. Default: one is made. */
  readonly load?: PostgresConnection;
  /** RESTORE_MAX_STAGING_BYTES. */
  readonly maxStagingBytes?: number;
  /** RESTORE_SERVER_DATA_DIR: free space there is watched while staging grows. */
  readonly serverDataDir?: string;
  /** Parallel jobs of pg_restore. Default: one a processor, at most four. */
  readonly jobs?: number;
  readonly log: Logger;
  readonly clock: Clock;
}

export interface SessionNeeds {
  readonly applicationName: string;
  readonly signal: AbortSignal;
  /** Default: the maintenance database. */
  readonly database?: string;
  /** Milliseconds; default: none, for statements whose length depends on the database's size. */
  readonly statementTimeoutMs?: number;
  readonly lockTimeoutMs?: number;
  /** Milliseconds; default: none. */
  readonly idleInTransactionMs?: number;
  readonly settings?: Readonly<Record<string, string | number>>;
}

/** The server as the restore engine reaches it: who it is there, and by which database it enters. */
export class Server {
  readonly control: PostgresConnection;
  /** RESTORE_LOAD_URL, with the server's address taken from it. */
  readonly load: PostgresConnection | undefined;
  readonly maintenanceDatabase: string;
  readonly liveName: string;
  /** Owner of a database that has to be created because the target doesn't exist. */
  readonly applicationUser: string;
  readonly options: PostgresRestoreOptions;
  /** sha256 of drops whose parallel load ended in a deadlock: one worker loads them. */
  readonly oneByOne = new Set<string>();

  constructor(options: PostgresRestoreOptions) {
    this.options = options;
    this.control = options.admin ?? options.database.connection;
    this.load = options.load;
    this.maintenanceDatabase = options.database.maintenanceDatabase;
    this.liveName = options.database.connection.database;
    this.applicationUser = options.database.connection.user;
  }

  /** A session of the control identity. Never executes a word that came out of a file. */
  open(needs: SessionNeeds): Promise<Session> {
    return this.openAs(this.control, needs);
  }

  openAs(identity: PostgresConnection, needs: SessionNeeds): Promise<Session> {
    return connect(identity, {
      database: needs.database ?? this.maintenanceDatabase,
      applicationName: needs.applicationName,
      signal: needs.signal,
      statementTimeoutMs: needs.statementTimeoutMs ?? 0,
      ...(needs.lockTimeoutMs === undefined ? {} : { lockTimeoutMs: needs.lockTimeoutMs }),
      idleInTransactionMs: needs.idleInTransactionMs ?? 0,
      options: { row_security: 'off', ...needs.settings },
    });
  }
}
