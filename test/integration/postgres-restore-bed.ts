import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ArchiveFormat } from '../../src/core/archive/format.ts';
import type { UnpackedDrop } from '../../src/core/archive/unpacked.ts';
import type { PostgresConnection } from '../../src/core/config/config.ts';
import type {
  Inspection,
  RestoreState,
  RestoreTarget,
  StagedCheck,
  StepContext,
  SwapResult,
} from '../../src/core/engines/engine.ts';
import { connect } from '../../src/core/engines/postgres/connection.ts';
import { ident, literal } from '../../src/core/engines/postgres/quoting.ts';
import { PostgresRestoreEngine } from '../../src/core/engines/postgres/restore/engine.ts';
import type { PostgresRestoreOptions } from '../../src/core/engines/postgres/restore/server.ts';
import { standInName } from '../../src/core/engines/postgres/restore/stand-in.ts';
import type { Session } from '../../src/core/engines/postgres/session.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { systemClock } from '../../src/core/runtime/clock.ts';
import type { TestServer } from '../support/testbed.ts';

const run = promisify(execFile);
export const never = new AbortController().signal;
const newestBin = existsSync('/usr/lib/postgresql/18/bin/pg_dump')
  ? '/usr/lib/postgresql/18/bin'
  : '';

export interface Restored {
  readonly inspection: Inspection;
  readonly state: RestoreState;
  readonly check: StagedCheck;
  readonly swap: SwapResult;
}

/** Databases and roles of one test on one server; everything it made is gone when disposed. */
export class RestoreBed implements AsyncDisposable {
  readonly server: TestServer;
  readonly admin: Session;
  readonly folder: string;
  readonly id = randomBytes(4).toString('hex');
  /** Owner of the live database: a plain login role. */
  readonly owner = `test_owner_${this.id}`;
  readonly app = `test_app_${this.id}`;
  readonly reader = `test_reader_${this.id}`;
  readonly saved: RestoreState[] = [];
  live = `test_live_${this.id}`;
  readonly #databases = new Set<string>();
  readonly #roles = new Set<string>();

  private constructor(server: TestServer, admin: Session, folder: string) {
    this.server = server;
    this.admin = admin;
    this.folder = folder;
  }

  static async create(server: TestServer, live?: string): Promise<RestoreBed> {
    const admin = await connect(superuser(server), { applicationName: 'test', signal: never });
    const folder = await mkdtemp(join(tmpdir(), 'dropback-test-'));
    const bed = new RestoreBed(server, admin, folder);
    if (live !== undefined) bed.live = live;
    await bed.role(bed.owner);
    await bed.role(bed.app);
    await bed.role(bed.reader);
    await bed.database(bed.live);
    return bed;
  }

  async role(name: string, attributes = ''): Promise<string> {
    await this.admin.query(`DROP ROLE IF EXISTS ${ident(name)}`);
    await this.admin.query(`CREATE ROLE ${ident(name)} LOGIN PASSWORD 'pw' ${attributes}`);
    this.#roles.add(name);
    return name;
  }

  async database(name: string, options = `OWNER ${ident(this.owner)}`): Promise<string> {
    await this.admin.query(`DROP DATABASE IF EXISTS ${ident(name)} WITH (FORCE)`);
    await this.admin.query(`CREATE DATABASE ${ident(name)} TEMPLATE template0 ${options}`);
    this.#databases.add(name);
    return name;
  }

  connection(change: Partial<PostgresConnection> = {}): PostgresConnection {
    return { ...superuser(this.server), database: this.live, ...change };
  }

  engine(options: Partial<PostgresRestoreOptions> = {}): PostgresRestoreEngine {
    const database = {
      kind: 'postgres' as const,
      connection: this.connection(),
      maintenanceDatabase: 'postgres',
    };
    return new PostgresRestoreEngine({
      database,
      log: silentLogger(),
      clock: systemClock,
      jobs: 2,
      ...options,
    });
  }

  context(signal = never): StepContext {
    const save = async (state: RestoreState) => {
      this.saved.push(state);
    };
    return { signal, log: silentLogger(), progress: () => {}, save };
  }

  open(database = this.live, user = 'postgres'): Promise<Session> {
    const as = user === 'postgres' ? {} : { user, password: 'pw' };
    const connection = this.connection({ database, ...as });
    return connect(connection, { applicationName: 'test', signal: never });
  }

  async sql(text: string, database = this.live): Promise<void> {
    await using session = await this.open(database);
    await session.query('SET search_path = public');
    await session.query(text);
  }

  async value(text: string, database = this.live): Promise<string | undefined> {
    await using session = await this.open(database);
    const [row] = await session.query<{ v: unknown }>(`SELECT (${text})::text AS v`);
    return row?.v as string | undefined;
  }

  /** Fills a database with the rich one. */
  async fill(database: string): Promise<void> {
    const file = new URL('../support/rich-database.sql', import.meta.url).pathname;
    const roles = ['owner', 'app', 'reader'] as const;
    const variables = roles.flatMap((name) => ['-v', `${name}=${this[name]}`]);
    await this.tool('psql', ['-Xq', '-v', 'ON_ERROR_STOP=1', ...variables, '-f', file], database);
  }

  /** Runs a client program of the server's version (or the newest) on a database. */
  async tool(
    name: string,
    args: readonly string[],
    database = this.live,
    bin = this.server.binDir,
  ): Promise<string> {
    const env = {
      PGHOST: this.server.host,
      PGPORT: String(this.server.port),
      PGUSER: 'postgres',
      PGPASSWORD: this.server.password,
      PGDATABASE: database,
      LC_ALL: 'C.UTF-8',
      PATH: process.env['PATH'] ?? '',
    };
    const options = { env, maxBuffer: 256 * 1024 * 1024 };
    return (await run(join(bin, name), [...args], options)).stdout;
  }

  /** A dump of a database as a drop of the given format. */
  async dump(
    format: ArchiveFormat,
    database: string,
    args: readonly string[] = [],
    bin = this.server.binDir,
  ): Promise<UnpackedDrop> {
    const letter = { 'postgres-custom': 'c', 'postgres-directory': 'd', 'postgres-plain': 'p' }[
      format as 'postgres-plain'
    ];
    const path = join(this.folder, `dump-${randomBytes(4).toString('hex')}`);
    await this.tool('pg_dump', [`-F${letter}`, '-f', path, ...args], database, bin);
    return this.drop(format, path);
  }

  async drop(format: ArchiveFormat, path: string): Promise<UnpackedDrop> {
    const isFile = (await stat(path)).isFile();
    const bytes = isFile ? await readFile(path) : Buffer.alloc(0);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const fileName = path.split('/').at(-1) ?? '';
    return { fileName, format, path, contentBytes: bytes.length, sha256, force: false };
  }

  async script(text: string): Promise<UnpackedDrop> {
    const path = join(this.folder, `script-${randomBytes(4).toString('hex')}.sql`);
    await writeFile(path, text);
    return this.drop('postgres-plain', path);
  }

  /** The whole walk; what was staged is discarded when a step fails, as the machine does it. */
  async restore(
    engine: PostgresRestoreEngine,
    drop: UnpackedDrop,
    target: RestoreTarget = { kind: 'live' },
  ): Promise<Restored> {
    const context = this.context();
    const inspection = await engine.inspect(drop, context);
    let state = await engine.plan(inspection, target, context);
    this.#note(state);
    try {
      state = await engine.stage(state, drop, inspection, context);
      const check = await engine.check(state, inspection, context);
      const swap = await engine.swap(state, context);
      await engine.finish(state, context);
      return { inspection, state, check, swap };
    } catch (error) {
      await engine.discard(this.saved.at(-1) ?? state, context);
      throw error;
    }
  }

  #note(state: RestoreState): void {
    for (const key of ['stagingName', 'previousName', 'liveName']) {
      this.#databases.add(String(state[key]));
    }
  }

  /** Leftovers of restores into this bed's database. */
  async leftovers(): Promise<string[]> {
    const ids = this.saved.map((state) => String(state['id']));
    const rows = await this.admin.query<{ name: string }>(
      `SELECT datname AS name FROM pg_database WHERE datname = ANY ($1::text[])
       UNION ALL SELECT rolname FROM pg_roles
        WHERE rolname = ANY ($2::text[]) OR shobj_description(oid, 'pg_authid') LIKE $3`,
      [
        ids.map((id) => `dropback_s_${id}`),
        ids.map((id) => `dropback_load_${id}`),
        `dropback: % ${JSON.stringify(this.live)}`,
      ],
    );
    return rows.map((row) => row.name);
  }

  /** Schema and rows as text in which equal databases are equal. */
  async picture(database: string): Promise<{ schema: string; data: string[] }> {
    const bin = newestBin || this.server.binDir;
    const schema = await this.tool('pg_dump', ['-s'], database, bin);
    const data = await this.tool('pg_dump', ['-a'], database, bin);
    const plain = (text: string) =>
      text.split('\n').filter((line) => !/^(--|\\(un)?restrict|SET |$)/.test(line));
    return { schema: plain(schema).join('\n'), data: plain(data).sort() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const state of this.saved) this.#note(state);
    for (const name of this.#databases) {
      if (['postgres', 'template0', 'template1'].includes(name)) continue;
      await this.admin.query(`ALTER DATABASE ${ident(name)} IS_TEMPLATE false`).catch(() => {});
      await this.admin.query(`DROP DATABASE IF EXISTS ${ident(name)} WITH (FORCE)`);
    }
    this.#roles.add(standInName(this.live));
    for (const { loadRole } of this.saved) if (loadRole) this.#roles.add(String(loadRole));
    for (const name of this.#roles) await this.admin.query(`DROP ROLE IF EXISTS ${ident(name)}`);
    await this.admin[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
  }
}

export function superuser(server: TestServer): PostgresConnection {
  const { host, port, password } = server;
  return { host, port, password, user: 'postgres', database: 'postgres', sslMode: 'prefer' };
}

export { ident, literal };
