import { execFile } from 'node:child_process';
import { appendFile, chown, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TestServer } from './testbed.ts';

const run = promisify(execFile);

/** Data are in the page cache when a server is killed: only a power cut would need the disk. */
const SETTINGS = `
fsync = off
shared_buffers = 16MB
max_connections = 60
listen_addresses = '127.0.0.1'
autovacuum = off
`;

export interface PrivateOptions {
  /** Lines of postgresql.conf. */
  readonly settings?: string;
  /** An empty one that it may have, a small disk for example; default: a temporary one. */
  readonly folder?: string;
}

/** A PostgreSQL server of one test's own, which it may crash as it likes. */
export class PrivatePostgres implements AsyncDisposable {
  readonly server: TestServer;
  readonly #folder: string;

  private constructor(server: TestServer, folder: string) {
    this.server = server;
    this.#folder = folder;
  }

  /** With the programs of `like`, whose server programs must be on this machine. Already up. */
  static async create(
    like: TestServer,
    { settings = '', folder: given }: PrivateOptions = {},
  ): Promise<PrivatePostgres> {
    const folder = given ?? (await mkdtemp(join(tmpdir(), 'dropback-postgres-')));
    const port = await freePort();
    const { binDir, major, version } = like;
    const server = { binDir, major, version, host: '127.0.0.1', port, password: 'none', url: '' };
    const own = new PrivatePostgres(server, folder);
    const owner = await serverOwner();
    if (owner) await chown(folder, owner.uid, owner.gid);
    await own.#run('initdb', [
      '-D',
      own.#data,
      '-A',
      'trust',
      '-U',
      'postgres',
      '-N',
      '-E',
      'UTF8',
    ]);
    await appendFile(
      join(own.#data, 'postgresql.conf'),
      `${SETTINGS}\n${settings}\nport = ${port}\nunix_socket_directories = '${folder}'\n`,
    );
    await own.start();
    return own;
  }

  /** Settles when it accepts connections. */
  async start(): Promise<void> {
    const log = join(this.#folder, 'log');
    await this.#run('pg_ctl', ['-D', this.#data, '-l', log, '-w', '-t', '120', 'start']);
  }

  /** As a crash of the machine would end it: no shutdown checkpoint, every session cut. */
  async crash(): Promise<void> {
    await this.#run('pg_ctl', ['-D', this.#data, '-m', 'immediate', '-w', 'stop']);
  }

  /** Whether or not it has gone down by itself. */
  async restart(): Promise<void> {
    await this.crash().catch(() => {});
    await this.start();
  }

  get #data(): string {
    return join(this.#folder, 'data');
  }

  async #run(program: string, args: readonly string[]): Promise<void> {
    const file = join(this.server.binDir, program);
    const options = { cwd: '/', env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C.UTF-8' } };
    if (process.getuid?.() !== 0) await run(file, [...args], options);
    else {
      const as = ['--reuid=postgres', '--regid=postgres', '--init-groups', '--', file];
      await run('setpriv', [...as, ...args], options);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.crash().catch(() => {});
    // A disk's own folder stays.
    await rm(this.#data, { recursive: true, force: true });
    await rm(this.#folder, { recursive: true, force: true }).catch(() => {});
  }
}

/** The server refuses to run as root. */
async function serverOwner(): Promise<{ uid: number; gid: number } | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const id = async (flag: string) => Number((await run('id', [flag, 'postgres'])).stdout);
  return { uid: await id('-u'), gid: await id('-g') };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address ? address.port : 0;
}
