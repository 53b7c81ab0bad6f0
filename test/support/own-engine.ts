import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const DOCKERD = ['/usr/sbin/dockerd', '/usr/bin/dockerd'].find((path) => existsSync(path));

/** Namespaces, mounts and cgroups are root's. */
export const canStartEngine = DOCKERD !== undefined && process.getuid?.() === 0;

/**
 * Runs in namespaces of its own as their first process: when it ends, the kernel ends everything in
 * there. It ends with its standard input, so that nothing outlives a killed test either, and takes
 * its folder along.
 */
const KEEPER = `
mount -t tmpfs tmpfs /run
ip link set lo up
folder=$1; shift
while read -r word; do
  case $word in
    start) "$@" >>"$folder/log" 2>&1 & engine=$! ;;
    *) kill "-$word" "$engine"; { wait "$engine"; } 2>/dev/null ;;
  esac
  echo "$word"
done
kill -KILL -1
while read -r _ mounted _; do case $mounted in "$folder"/*) umount -l "$mounted" ;; esac; done </proc/mounts
rm -rf --one-file-system "$folder"
`;

/**
 * A Docker engine that a test may stop and kill: with networks, processes, folders and a firewall
 * apart from those of the machine's engine. Ports that its containers publish can't be reached.
 */
export class OwnEngine implements AsyncDisposable {
  readonly #folder: string;
  readonly #keeper: ChildProcess;
  readonly #answers: AsyncIterator<Buffer>;

  private constructor(folder: string, keeper: ChildProcess) {
    this.#folder = folder;
    this.#keeper = keeper;
    if (!keeper.stdout) throw new Error('no standard output');
    this.#answers = keeper.stdout[Symbol.asyncIterator]();
  }

  static async start(): Promise<OwnEngine> {
    const folder = await mkdtemp(join(tmpdir(), 'dropback-engine-'));
    const own = { host: `unix://${folder}/docker.sock`, 'data-root': `${folder}/data` };
    const flags = { ...own, 'exec-root': `${folder}/exec`, pidfile: `${folder}/pid` };
    const engine = [DOCKERD ?? 'dockerd', ...Object.entries(flags).map(([k, v]) => `--${k}=${v}`)];
    const namespaces = ['--net', '--mount', '--pid', '--fork', '--mount-proc', '--kill-child'];
    const keeper = spawn(
      'unshare',
      [...namespaces, 'bash', '--norc', '-c', KEEPER, 'keeper', folder, ...engine],
      {
        stdio: ['pipe', 'pipe', 'inherit'],
        env: { PATH: `${process.env['PATH']}:/usr/sbin:/sbin` },
      },
    );
    const started = new OwnEngine(folder, keeper);
    try {
      await started.begin();
      return started;
    } catch (error) {
      await started[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Path of its socket. */
  get socket(): string {
    return join(this.#folder, 'docker.sock');
  }

  get host(): string {
    return `unix://${this.socket}`;
  }

  /** Settles when it answers. */
  async begin(): Promise<void> {
    await this.#tell('start');
    for (let tried = 0; !(await this.#answersNow()); tried++) {
      if (tried > 240) throw new Error(`the engine does not come up:\n${await this.#log()}`);
      await delay(500);
    }
  }

  /** As a restart of the machine's service does it (TERM), or a crash (KILL); settles when it is gone. */
  async end(signal: 'TERM' | 'KILL'): Promise<void> {
    await this.#tell(signal);
  }

  /** Copies images of the engine that DOCKER_HOST names, or the usual one. */
  async load(images: readonly string[]): Promise<void> {
    const script = 'set -o pipefail; engine=$1; shift; docker save "$@" | docker -H "$engine" load';
    await finished(
      spawn('bash', ['-c', script, 'load', this.host, ...images], { stdio: 'ignore' }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = finished(this.#keeper).catch(() => {});
    this.#keeper.stdin?.end();
    await gone;
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }

  async #tell(word: string): Promise<void> {
    this.#keeper.stdin?.write(`${word}\n`);
    const { done, value } = await this.#answers.next();
    if (done || String(value).trim() !== word)
      throw new Error(`the engine's keeper ended at ${word}`);
  }

  #answersNow(): Promise<boolean> {
    return new Promise((resolve) => {
      const call = request(
        { socketPath: this.socket, path: '/_ping', timeout: 5000 },
        (response) => {
          response.resume();
          resolve(response.statusCode === 200);
        },
      );
      call.on('error', () => resolve(false));
      call.on('timeout', () => call.destroy());
      call.end();
    });
  }

  async #log(): Promise<string> {
    const text = await readFile(join(this.#folder, 'log'), 'utf8').catch(String);
    return text.split('\n').slice(-20).join('\n');
  }
}

function finished(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`${child.spawnfile} ended with ${code ?? signal}`));
    });
  });
}
