import { execFile, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { type Access, BenchServer, newAccess, SERVER_SETTINGS } from './postgres-server.ts';

const run = promisify(execFile);

/** In a container on the host's network. */
export class ContainerServer extends BenchServer {
  readonly #name: string;

  private constructor(access: Access, name: string) {
    super(access);
    this.#name = name;
  }

  /** Already up. */
  static async start(image: string, binDir: string): Promise<BenchServer> {
    const access = await newAccess(binDir);
    const name = `dropback-bench-${randomBytes(4).toString('hex')}`;
    const settings = [...SERVER_SETTINGS, `port=${access.port}`, 'listen_addresses=127.0.0.1'];
    const flags = ['--rm', '--network=host', '--shm-size=256m', '-e', 'POSTGRES_PASSWORD'];
    await run(
      'docker',
      [
        ...['run', '-d', '--name', name, ...flags, image, 'postgres'],
        ...settings.flatMap((setting) => ['-c', setting]),
      ],
      { env: { ...process.env, POSTGRES_PASSWORD: access.password } },
    );
    return await new ContainerServer(access, name).ready();
  }

  get place(): string {
    return this.#name;
  }

  async limitTo(processors: string): Promise<void> {
    await run('docker', ['update', `--cpuset-cpus=${processors}`, this.#name]);
  }

  abandon(): void {
    spawnSync('docker', ['rm', '-f', '-v', this.#name]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await run('docker', ['rm', '-f', '-v', this.#name]).catch(() => {});
  }

  protected async log(): Promise<string> {
    const { stderr, stdout } = await run('docker', ['logs', this.#name]);
    return stdout + stderr;
  }
}
