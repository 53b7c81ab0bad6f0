import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { freePort, until } from '../../test/support/testbed/processes.mjs';

const run = promisify(execFile);

/**
 * As PostgreSQL comes, save what would make repetitions differ: autovacuum would work on one
 * contestant's database during the next one's turn.
 */
export const SERVER_SETTINGS = ['autovacuum=off', 'max_wal_size=4GB'] as const;

const START_MS = 60_000;

export interface Access {
  readonly port: number;
  readonly password: string;
  /** Folder of client programs of the server's version. */
  readonly binDir: string;
}

/**
 * A PostgreSQL server of the benchmark's own on the loopback interface, and its client programs. Whoever
 * made it sees to its end before it starts it: the process may be told to end while it does.
 */
export abstract class BenchServer implements AsyncDisposable {
  readonly port: number;
  protected readonly password: string;
  readonly #binDir: string;
  #major = 0;

  protected constructor({ port, password, binDir }: Access) {
    this.port = port;
    this.password = password;
    this.#binDir = binDir;
  }

  /** Resolves when it answers; throws with its log where it doesn't. */
  abstract start(): Promise<void>;

  /** For the output: where it runs. */
  abstract get place(): string;

  /** `0` or `0-1`: the processors that it may use. */
  abstract limitTo(processors: string): Promise<void>;

  /** Ends it at once, for a process that was told to end; its data go with it. */
  abstract abandon(): void;

  abstract [Symbol.asyncDispose](): Promise<void>;

  /** What it has said so far. */
  protected abstract log(): Promise<string>;

  get major(): number {
    return this.#major;
  }

  url(database: string): string {
    return `postgresql://postgres:${this.password}@127.0.0.1:${this.port}/${database}`;
  }

  /** For scripts: libpq's variables, and the programs of the server's own version first. */
  environment(database: string): Record<string, string> {
    return {
      PATH: `${this.#binDir}:${process.env['PATH'] ?? ''}`,
      PGHOST: '127.0.0.1',
      PGPORT: String(this.port),
      PGUSER: 'postgres',
      PGPASSWORD: this.password,
      PGDATABASE: database,
    };
  }

  /** One statement a transaction; resolves with what psql printed. */
  async sql(statement: string, database = 'postgres'): Promise<string> {
    const args = ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-c', statement];
    const { stdout } = await run(`${this.#binDir}/psql`, args, {
      env: this.environment(database),
      maxBuffer: 1 << 26,
    });
    return stdout.trim();
  }

  /** Everything that is dirty goes to the disk now, and not in somebody's turn. */
  async settle(): Promise<void> {
    await this.sql('CHECKPOINT');
    await run('sync');
  }

  /** Throws with the server's own log, and ends it, where it doesn't answer in time. */
  protected async ready(): Promise<void> {
    const answers = () =>
      this.sql('SHOW server_version_num').then(
        (version) => {
          this.#major = Math.floor(Number(version) / 10_000);
          return true;
        },
        () => false,
      );
    if (await until(answers, START_MS, 200)) return;
    const said = await this.log();
    await this[Symbol.asyncDispose]();
    throw new Error(`PostgreSQL did not start:\n${said}`);
  }
}

export async function newAccess(binDir: string): Promise<Access> {
  return { port: Number(await freePort()), password: randomBytes(16).toString('hex'), binDir };
}
