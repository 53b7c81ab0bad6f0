import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { freePort, until } from '../../test/support/testbed/processes.mjs';

const run = promisify(execFile);

/**
 * As the images come, save what would make repetitions differ: autovacuum would work on one
 * contestant's database during the next one's turn.
 */
export const SERVER_SETTINGS = ['autovacuum=off', 'max_wal_size=4GB'] as const;

/** A PostgreSQL server of the benchmark's own, in a container on the host's network. */
export class BenchServer implements AsyncDisposable {
  readonly port: number;
  /** Its name. */
  readonly container: string;
  readonly #password: string;
  readonly #binDir: string;

  private constructor(port: number, container: string, password: string, binDir: string) {
    this.port = port;
    this.container = container;
    this.#password = password;
    this.#binDir = binDir;
  }

  /** `binDir`: of client programs of the server's version. Already up. */
  static async start(image: string, binDir: string): Promise<BenchServer> {
    const port = Number(await freePort());
    const name = `dropback-bench-${randomBytes(4).toString('hex')}`;
    const password = randomBytes(16).toString('hex');
    const server = new BenchServer(port, name, password, binDir);
    const settings = [...SERVER_SETTINGS, `port=${port}`, 'listen_addresses=127.0.0.1'];
    const flags = ['--rm', '--network=host', '--shm-size=256m', '-e', 'POSTGRES_PASSWORD'];
    await run(
      'docker',
      [
        ...['run', '-d', '--name', name, ...flags, image, 'postgres'],
        ...settings.flatMap((setting) => ['-c', setting]),
      ],
      { env: { ...process.env, POSTGRES_PASSWORD: password } },
    );
    const answers = () =>
      server.sql('SELECT 1').then(
        () => true,
        () => false,
      );
    if (await until(answers, 60_000, 200)) return server;
    const { stderr, stdout } = await run('docker', ['logs', name]);
    await server[Symbol.asyncDispose]();
    throw new Error(`PostgreSQL did not start:\n${stdout}${stderr}`);
  }

  url(database: string): string {
    return `postgresql://postgres:${this.#password}@127.0.0.1:${this.port}/${database}`;
  }

  /** For scripts: libpq's variables, and the programs of the server's own version first. */
  environment(database: string): Record<string, string> {
    return {
      PATH: `${this.#binDir}:${process.env['PATH'] ?? ''}`,
      PGHOST: '127.0.0.1',
      PGPORT: String(this.port),
      PGUSER: 'postgres',
      PGPASSWORD: this.#password,
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

  /** `0` or `0-1`: the processors that it may use. */
  async limitTo(processors: string): Promise<void> {
    await run('docker', ['update', `--cpuset-cpus=${processors}`, this.container]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await run('docker', ['rm', '-f', '-v', this.container]).catch(() => {});
  }
}
