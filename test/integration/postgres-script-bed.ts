import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ident } from '../../src/core/engines/postgres/quoting.ts';
import { readScript } from '../../src/core/engines/postgres/script/inspection.ts';
import { ownershipSql } from '../../src/core/engines/postgres/script/ownership-sql.ts';
import {
  type RewriteOptions,
  type RewriteResult,
  rewriteScript,
} from '../../src/core/engines/postgres/script/rewrite.ts';
import type { TestServer } from '../support/testbed.ts';

const run = promisify(execFile);
const RICH = new URL('../support/rich-database.sql', import.meta.url).pathname;
const MOST_OUTPUT = 256 * 1024 * 1024;

export const never = new AbortController().signal;

/** Databases, roles and files of one test, made with the server's own programs. */
export class ScriptBed implements AsyncDisposable {
  readonly server: TestServer;
  readonly folder: string;
  readonly id = randomBytes(5).toString('hex');
  readonly #databases: string[] = [];
  readonly #roles: string[] = [];
  #loads = 0;

  private constructor(server: TestServer, folder: string) {
    this.server = server;
    this.folder = folder;
  }

  static async create(server: TestServer): Promise<ScriptBed> {
    return new ScriptBed(server, await mkdtemp(join(tmpdir(), 'dropback-script-')));
  }

  environment(user = 'postgres', database = 'postgres'): NodeJS.ProcessEnv {
    const { host, port, password } = this.server;
    const libpq = { PGHOST: host, PGPORT: String(port), PGPASSWORD: password };
    return { ...process.env, ...libpq, PGUSER: user, PGDATABASE: database };
  }

  async tool(name: string, args: string[], database: string): Promise<string> {
    const { stdout } = await run(join(this.server.binDir, name), args, {
      env: this.environment('postgres', database),
      maxBuffer: MOST_OUTPUT,
    });
    return stdout;
  }

  async sql(statements: string, database = 'postgres'): Promise<string> {
    const child = this.psql('postgres', database, ['-qAt', '-v', 'ON_ERROR_STOP=1']);
    child.stdin.end(statements);
    return child.done;
  }

  async role(name: string): Promise<string> {
    const role = `${name}_${this.id}`;
    await this.sql(`CREATE ROLE ${ident(role)} LOGIN PASSWORD '${this.server.password}'`);
    this.#roles.push(role);
    return role;
  }

  async database(name: string, owner = 'postgres'): Promise<string> {
    const database = `${name}_${this.id}`;
    const options = `TEMPLATE template0 ENCODING 'UTF8' OWNER ${ident(owner)}`;
    await this.sql(`CREATE DATABASE ${ident(database)} ${options}`);
    this.#databases.push(database);
    return database;
  }

  /** The rich database, owned by roles whose names need quotes. */
  async rich(): Promise<{ database: string; roles: string[] }> {
    const owner = await this.role('Owner "1"');
    const roles = [owner, await this.role('app'), await this.role('réader')] as const;
    const database = await this.database('rich', owner);
    await this.sql(`GRANT CREATE ON DATABASE ${ident(database)} TO ${ident(owner)}`);
    const variables = ['owner', 'app', 'reader'].flatMap((name, at) => [
      '-v',
      `${name}=${roles[at]}`,
    ]);
    await this.tool('psql', ['-Xq', '-v', 'ON_ERROR_STOP=1', ...variables, '-f', RICH], database);
    return { database, roles: [...roles] };
  }

  async dump(database: string, args: string[] = [], name = 'dump.sql'): Promise<string> {
    const path = join(this.folder, name);
    await this.tool('pg_dump', [...args, '-f', path], database);
    return path;
  }

  /** psql as a load role would be: restricted by the script itself, stopping at the first error. */
  psql(user: string, database: string, args: string[]) {
    const child = spawn(join(this.server.binDir, 'psql'), ['-X', ...args, '-f', '-'], {
      env: this.environment(user, database),
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const output: Buffer[] = [];
    const errors: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
    child.stdin.on('error', () => {});
    const done = new Promise<string>((resolve, reject) => {
      child.once('close', (code) => {
        const said = Buffer.concat(errors).toString();
        if (code === 0) resolve(Buffer.concat(output).toString());
        else reject(new Error(`psql exited with ${code}: ${said}`));
      });
    });
    done.catch(() => {});
    return { stdin: child.stdin, done };
  }

  /** Loads a script into a new database as a role that owns nothing else. */
  async load(
    path: string,
    options: Partial<RewriteOptions> = {},
  ): Promise<{ database: string; result: RewriteResult; load: string }> {
    const turn = ++this.#loads;
    const load = await this.role(`load${turn}`);
    const database = await this.database(`staging${turn}`, load);
    const psql = this.psql(load, database, ['-q', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=1']);
    const all = { serverMajor: this.server.major, signal: never, ...options };
    const [result] = await Promise.all([
      rewriteScript(readScript(path), psql.stdin, all),
      psql.done,
    ]);
    return { database, result, load };
  }

  /** What control does after the load: owners and grants, rebuilt. */
  async applyOwnership(database: string, result: RewriteResult, serverMajor: number) {
    const statements = result.ownership.flatMap((statement) => {
      const { sql, grantor } = ownershipSql(statement, { serverMajor });
      if (sql === undefined || grantor === undefined) return sql ?? [];
      return [`SET SESSION AUTHORIZATION ${ident(grantor)};`, sql, 'RESET SESSION AUTHORIZATION;'];
    });
    await this.sql(`SET search_path = pg_catalog;\n${statements.join('\n')}\n`, database);
  }

  /** A dump without what differs from one run to the next; `sorted` where the order may differ. */
  async comparable(database: string, args: string[], sorted = false): Promise<string> {
    const text = await readFile(await this.dump(database, args, 'compare.sql'), 'utf8');
    const same = text.replace(/^\\(un)?restrict .*$/gm, '');
    return sorted ? same.split('\n').sort().join('\n') : same;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of this.#databases.reverse()) {
      await this.sql(`DROP DATABASE IF EXISTS ${ident(name)} WITH (FORCE)`);
    }
    for (const name of this.#roles.reverse()) await this.sql(`DROP ROLE IF EXISTS ${ident(name)}`);
    await rm(this.folder, { recursive: true, force: true });
  }
}
