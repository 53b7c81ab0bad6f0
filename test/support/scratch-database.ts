import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { standInName } from '../../src/core/engines/postgres/restore/stand-in.ts';
import type { TestServer } from './testbed.ts';

const run = promisify(execFile);

/** A database of one test, worked on with the server's own programs; gone when disposed. */
export class ScratchDatabase implements AsyncDisposable {
  readonly name: string;
  readonly server: TestServer;

  private constructor(server: TestServer, name: string) {
    this.server = server;
    this.name = name;
  }

  static async create(server: TestServer, prefix: string): Promise<ScratchDatabase> {
    const name = `${prefix}_${randomBytes(4).toString('hex')}`;
    const scratch = new ScratchDatabase(server, name);
    // A swap carries the comment over: by it, what a restore keeps is found again.
    const mark = `COMMENT ON DATABASE ${name} IS '${name}'`;
    await scratch.sqlIn('postgres', `CREATE DATABASE ${name}`, mark);
    return scratch;
  }

  get url(): string {
    return this.urlAt(this.server.host, this.server.port);
  }

  /** By another address, for example that of a proxy. */
  urlAt(host: string, port: number): string {
    const url = new URL(this.server.url);
    url.hostname = host;
    url.port = String(port);
    url.pathname = `/${this.name}`;
    return url.href;
  }

  async sql(...statements: string[]): Promise<string> {
    return await this.sqlIn(this.name, ...statements);
  }

  async sqlIn(database: string, ...statements: string[]): Promise<string> {
    const commands = statements.flatMap((statement) => ['-c', statement]);
    return await this.#program('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', ...commands], database);
  }

  /** pg_dump into a file (or a folder, with -Fd). */
  async dump(file: string, ...options: string[]): Promise<void> {
    await this.#program('pg_dump', [...options, '-f', file]);
  }

  /** Everything in it, as text: equal for equal databases. */
  async fingerprint(): Promise<string> {
    // Who owns what a foreign file brought is no part of what it holds.
    const text = await this.#program('pg_dump', ['-Fp', '--no-owner', '--no-acl']);
    // A key of its own in every dump of the newer versions.
    return text.replace(/^\\(un)?restrict .*$/gm, '');
  }

  async #program(name: string, args: string[], database = this.name): Promise<string> {
    const { host, port, password, binDir } = this.server;
    const { stdout } = await run(join(binDir, name), args, {
      maxBuffer: 256 * 1024 * 1024,
      env: {
        PATH: process.env['PATH'],
        PGHOST: host,
        PGPORT: String(port),
        PGUSER: decodeURIComponent(new URL(this.server.url).username),
        PGPASSWORD: password,
        PGDATABASE: database,
        PGOPTIONS: '-c synchronous_commit=off',
      },
    });
    return stdout.trim();
  }

  /** With what restores have kept of it: that still carries its name as a comment. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.sqlIn('postgres', `DROP DATABASE IF EXISTS ${this.name} WITH (FORCE)`);
    const marked = `SELECT d.datname FROM pg_database d
      JOIN pg_shdescription s ON s.objoid = d.oid AND s.classoid = 'pg_database'::regclass
      WHERE s.description = '${this.name}' AND d.datname ~ '^dropback_[sp]_[0-9a-f]{16}$'`;
    const kept = await this.sqlIn('postgres', marked);
    for (const name of kept.split('\n').filter(Boolean)) {
      await this.sqlIn('postgres', `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    }
    await this.sqlIn('postgres', `DROP ROLE IF EXISTS ${standInName(this.name)}`);
  }
}
