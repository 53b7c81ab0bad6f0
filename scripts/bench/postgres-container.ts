import { execFile, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { type Access, BenchServer, newAccess, SERVER_SETTINGS } from './postgres-server.ts';

const run = promisify(execFile);

/** In a container on the host's network. */
export class ContainerServer extends BenchServer {
  readonly #image: string;
  readonly #name = `dropback-bench-${randomBytes(4).toString('hex')}`;

  private constructor(access: Access, image: string) {
    super(access);
    this.#image = image;
  }

  static async create(image: string, binDir: string): Promise<BenchServer> {
    return new ContainerServer(await newAccess(binDir), image);
  }

  async start(): Promise<void> {
    const settings = [...SERVER_SETTINGS, `port=${this.port}`, 'listen_addresses=127.0.0.1'];
    const flags = ['--rm', '--network=host', '--shm-size=256m', '-e', 'POSTGRES_PASSWORD'];
    await run(
      'docker',
      [
        ...['run', '-d', '--name', this.#name, ...flags, this.#image, 'postgres'],
        ...settings.flatMap((setting) => ['-c', setting]),
      ],
      { env: { ...process.env, POSTGRES_PASSWORD: this.password } },
    );
    await this.ready();
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
