import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  configure,
  dataIn,
  giveToOwner,
  initialize,
  runAsOwner,
  startServer,
  stopCommand,
} from './testbed/postgres-owner.mjs';
import { freePort } from './testbed/processes.mjs';
import type { TestServer } from './testbed.ts';

/** Data are in the page cache when a server is killed: only a power cut would need the disk. */
const SETTINGS = {
  fsync: 'off',
  shared_buffers: '16MB',
  max_connections: '60',
  autovacuum: 'off',
};

export interface PrivateOptions {
  /** Of postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>;
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
    { settings = {}, folder: given }: PrivateOptions = {},
  ): Promise<PrivatePostgres> {
    return await PrivatePostgres.#started(like, given, async ({ binDir, port }, folder) => {
      await initialize({ binDir, folder, args: ['--no-sync'] });
      configure(folder, { ...SETTINGS, ...settings, port });
    });
  }

  /** A hot standby of it, which streams from it. */
  async standby(): Promise<PrivatePostgres> {
    const { host, port: from } = this.server;
    return await PrivatePostgres.#started(this.server, undefined, async (own, folder) => {
      giveToOwner(folder);
      const { binDir, port } = own;
      const source = ['-h', host, '-p', `${from}`, '-U', 'postgres', '--checkpoint=fast'];
      const target = ['-D', dataIn(folder), '--write-recovery-conf', '--no-sync'];
      await runAsOwner(join(binDir, 'pg_basebackup'), [...source, ...target]);
      configure(folder, { port, unix_socket_directories: folder });
    });
  }

  static async #started(
    { binDir, major, version }: TestServer,
    given: string | undefined,
    make: (server: TestServer, folder: string) => Promise<void>,
  ): Promise<PrivatePostgres> {
    const folder = given ?? (await mkdtemp(join(tmpdir(), 'dropback-postgres-')));
    const port = Number(await freePort());
    const server = { binDir, major, version, host: '127.0.0.1', port, password: 'none', url: '' };
    const own = new PrivatePostgres(server, folder);
    try {
      await make(server, folder);
      await own.start();
      return own;
    } catch (error) {
      await own[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Settles when it accepts connections. */
  async start(): Promise<void> {
    const { binDir } = this.server;
    await startServer({ binDir, folder: this.#folder, logFile: this.#logFile });
  }

  /** As a crash of the machine would end it: no shutdown checkpoint, every session cut. */
  async crash(): Promise<void> {
    const { binDir } = this.server;
    await runAsOwner(...stopCommand({ binDir, folder: this.#folder }, 'immediate'), 90_000);
  }

  /** Whether or not it has gone down by itself. */
  async restart(): Promise<void> {
    await this.crash().catch(() => {});
    await this.start();
  }

  /** What it has said so far. */
  async log(): Promise<string> {
    return await readFile(this.#logFile, 'utf8');
  }

  get #logFile(): string {
    return join(this.#folder, 'log');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.crash().catch(() => {});
    // A disk's own folder stays.
    await rm(dataIn(this.#folder), { recursive: true, force: true });
    await rm(this.#folder, { recursive: true, force: true }).catch(() => {});
  }
}
