import type { PostgresConnection } from '../../../config/config.ts';
import type { Logger } from '../../../observability/log.ts';
import type { Clock } from '../../../runtime/clock.ts';
import { DropbackError } from '../../../runtime/errors.ts';
import type {
  CheckResult,
  DatabaseLock,
  LockRequest,
  Rehearsal,
  RehearsalEngine,
  RehearsalRequest,
} from '../../engine.ts';
import { describeConnection } from '../environment.ts';
import { takeLock } from '../lock.ts';
import { DEADLOCK_CODE } from '../restore/load-error.ts';
import { Server } from '../restore/server.ts';
import { sweepLeftovers } from '../restore/sweep.ts';
import { rehearsalChecks } from './checks.ts';
import { rehearseOnce } from './rehearse.ts';

export interface PostgresRehearsalOptions {
  /** Who makes the scratch database; it enters the server by this connection's own database. */
  readonly connection: PostgresConnection;
  /** BACKUP_NAME: what is made on the server carries it, so that a sweep knows its own. */
  readonly name: string;
  /** Parallel jobs of pg_restore. Default: one a processor, at most four. */
  readonly jobs?: number | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Restores backups into `dropback_v_<16 hex>` on a server, compares, and drops it. */
export class PostgresRehearsalEngine implements RehearsalEngine {
  readonly kind = 'postgres';
  readonly description: string;
  readonly #server: Server;
  readonly #clock: Clock;

  constructor({ connection, name, jobs, clock, log }: PostgresRehearsalOptions) {
    this.description = describeConnection(connection);
    this.#clock = clock;
    // Marks and locks go by this name: those of restores of the same database stay apart.
    const owner = { ...connection, database: `rehearsal of ${name}` };
    this.#server = new Server({
      database: {
        kind: 'postgres',
        connection: owner,
        maintenanceDatabase: connection.database,
      },
      ...(jobs === undefined ? {} : { jobs }),
      clock,
      log,
    });
  }

  checks(signal: AbortSignal): Promise<CheckResult[]> {
    return rehearsalChecks(this.#server, signal);
  }

  lock(request: Omit<LockRequest, 'purpose'>, signal: AbortSignal): Promise<DatabaseLock> {
    const { control, maintenanceDatabase, liveName } = this.#server;
    const target = { connection: control, maintenanceDatabase, database: liveName };
    return takeLock(target, { ...request, purpose: 'rehearsal' }, this.#clock, signal);
  }

  sweep(log: Logger, signal: AbortSignal): Promise<string[]> {
    return sweepLeftovers(this.#server, [], { log, signal }, 'scratch');
  }

  /** A deadlock among pg_restore's workers is theirs alone: one worker loads it again. */
  async rehearse(request: RehearsalRequest, signal: AbortSignal): Promise<Rehearsal> {
    try {
      return await rehearseOnce(this.#server, request, this.#server.options.jobs, signal);
    } catch (error) {
      if (!(error instanceof DropbackError) || error.code !== DEADLOCK_CODE) throw error;
      request.log.info({ id: request.manifest.id }, 'loaded again by one worker');
      return await rehearseOnce(this.#server, request, 1, signal);
    }
  }

  /** Every session is closed by whoever opened it. */
  async [Symbol.asyncDispose](): Promise<void> {}
}
