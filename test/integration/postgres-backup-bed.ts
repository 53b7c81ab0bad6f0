import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PostgresConnection } from '../../src/core/config/config.ts';
import type { DumpRequest } from '../../src/core/engines/engine.ts';
import { PostgresBackupEngine } from '../../src/core/engines/postgres/backup/engine.ts';
import { connect } from '../../src/core/engines/postgres/connection.ts';
import { ident, qualified } from '../../src/core/engines/postgres/quoting.ts';
import type { Session } from '../../src/core/engines/postgres/session.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { systemClock } from '../../src/core/runtime/clock.ts';
import type { TestServer } from '../support/testbed.ts';

export const never = new AbortController().signal;

/** A database of its own on a server of the test bed, and a folder; both gone when disposed. */
export class BackupBed implements AsyncDisposable {
  readonly connection: PostgresConnection;
  readonly folder: string;
  readonly engine: PostgresBackupEngine;
  readonly #admin: Session;
  readonly #roles: string[] = [];

  private constructor(admin: Session, connection: PostgresConnection, folder: string) {
    this.#admin = admin;
    this.connection = connection;
    this.folder = folder;
    this.engine = this.engineAs({});
  }

  static async create(server: TestServer, name?: string): Promise<BackupBed> {
    const base = { host: server.host, port: server.port, password: server.password } as const;
    const postgres = {
      ...base,
      user: 'postgres',
      database: 'postgres',
      sslMode: 'prefer',
    } as const;
    const admin = await connect(postgres, { applicationName: 'test', signal: never });
    const database = name ?? `test_backup_${randomBytes(6).toString('hex')}`;
    await admin.query(`DROP DATABASE IF EXISTS ${ident(database)} WITH (FORCE)`);
    await admin.query(`CREATE DATABASE ${ident(database)} TEMPLATE template0`);
    const folder = await mkdtemp(join(tmpdir(), 'dropback-test-'));
    return new BackupBed(admin, { ...postgres, database }, folder);
  }

  /** Sessions of the superuser in the server's own database. */
  get admin(): Session {
    return this.#admin;
  }

  engineAs(
    change: Partial<PostgresConnection>,
    lockWaitMs = 5000,
    jobs?: number,
  ): PostgresBackupEngine {
    return new PostgresBackupEngine({
      database: {
        kind: 'postgres',
        connection: { ...this.connection, ...change },
        maintenanceDatabase: 'postgres',
      },
      clock: systemClock,
      lockWaitMs,
      jobs,
    });
  }

  open(change: Partial<PostgresConnection> = {}): Promise<Session> {
    const connection = { ...this.connection, ...change };
    return connect(connection, { applicationName: 'test', signal: never });
  }

  async run(...statements: string[]): Promise<void> {
    await using session = await this.open();
    for (const statement of statements) await session.query(statement);
  }

  /** A login role of this test alone; returns its name. */
  async role(attributes = ''): Promise<string> {
    const name = `test_role_${randomBytes(6).toString('hex')}`;
    await this.#admin.query(`CREATE ROLE ${name} LOGIN PASSWORD 'pw' ${attributes}`);
    this.#roles.push(name);
    return name;
  }

  request(change: Partial<DumpRequest> = {}): DumpRequest {
    return {
      spool: join(this.folder, `${randomBytes(4).toString('hex')}.partial`),
      compressionLevel: 3,
      excludeTableData: [],
      rowCounts: 'exact',
      nice: 0,
      log: silentLogger(),
      ...change,
    };
  }

  /** About `rows` × 1 kB that don't compress, so that a dump takes its time. */
  fill(table: string, rows: number): Promise<void> {
    return this.run(
      `CREATE TABLE ${qualified('public', table)} (id int, filler text)`,
      `INSERT INTO ${qualified('public', table)}
         SELECT i, (SELECT string_agg(md5(i::text || j::text), '') FROM generate_series(1, 32) j)
           FROM generate_series(1, ${rows}) i`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#admin.query(
      `DROP DATABASE IF EXISTS ${ident(this.connection.database)} WITH (FORCE)`,
    );
    for (const role of this.#roles) await this.#admin.query(`DROP ROLE IF EXISTS ${role}`);
    await this.#admin[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Waits for what must come, without a fixed time. */
export async function until<T>(look: () => Promise<T | undefined> | T | undefined): Promise<T> {
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    await systemClock.sleep(20, never);
  }
}
