import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProgram } from '../../src/core/runtime/process/find-program.ts';
import type { TestServer } from './testbed.ts';

/** As on Debian, where the program isn't on every user's PATH. */
const program = findProgram('pgbouncer') ?? '/usr/sbin/pgbouncer';

/** A pooler in front of one database of a server; whoever asks is let in as the superuser. */
export class PgBouncer implements AsyncDisposable {
  readonly port: number;
  readonly #folder: string;
  readonly #child: ChildProcess;

  private constructor(port: number, folder: string, child: ChildProcess) {
    this.port = port;
    this.#folder = folder;
    this.#child = child;
  }

  /** `lines`: more of its configuration. It may not listen yet. */
  static async start(server: TestServer, database: string, ...lines: string[]): Promise<PgBouncer> {
    const folder = await mkdtemp(join(tmpdir(), 'dropback-test-'));
    const port = await freePort();
    const { host, password } = server;
    const target = `host=${host} port=${server.port} user=postgres password=${password}`;
    const text = [
      '[databases]',
      `${database} = ${target}`,
      '[pgbouncer]',
      `listen_port = ${port}`,
      'auth_type = any',
      'pool_mode = transaction',
      'listen_addr = 127.0.0.1',
      'unix_socket_dir =',
      ...lines,
      '',
    ].join('\n');
    const file = join(folder, 'pgbouncer.ini');
    await writeFile(file, text);
    await chmod(folder, 0o755);
    // It refuses to run as root.
    const nobody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
    const child = spawn(program, [file], { stdio: 'ignore', ...nobody });
    return new PgBouncer(port, folder, child);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await rm(this.#folder, { recursive: true, force: true });
  }
}

function freePort(): Promise<number> {
  const probe = createServer();
  return new Promise((resolve) => {
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}
