import { randomBytes } from 'node:crypto';
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type RestoreDaemonStatus,
  readDaemonStatus,
} from '../../../src/core/requests/daemon-status.ts';
import { docker, imageSettings, type Ran, repository, run, testImage } from './engine.ts';

/** The user who owns ./backups and ./restore, and copies files there. */
export const user = process.getuid?.() === 0 ? { uid: 1000, gid: 1000 } : ownIds();

/** A copy of the compose files in a folder of its own, as a project of its own. */
export class Stack implements AsyncDisposable {
  readonly project = `dropback-e2e-${randomBytes(4).toString('hex')}`;
  readonly folder: string;
  readonly port: number;
  readonly #files: readonly string[];
  readonly #profiles: readonly string[];
  readonly #engine: Readonly<Record<string, string>>;

  private constructor(folder: string, port: number, options: StackOptions) {
    this.folder = folder;
    this.port = port;
    this.#files = options.files;
    this.#profiles = options.profiles ?? [];
    this.#engine = options.dockerHost ? { DOCKER_HOST: options.dockerHost } : {};
  }

  static async create(options: StackOptions): Promise<Stack> {
    const folder = await mkdtemp(join(tmpdir(), 'dropback-stack-'));
    // Other users have to pass through.
    await chmod(folder, 0o755);
    const port = await freePort();
    const withoutPackages = (path: string) => !/\/(node_modules|dist)$/.test(path);
    await cp(join(repository, 'docker'), join(folder, 'docker'), {
      recursive: true,
      filter: withoutPackages,
    });
    await cp(
      join(repository, 'docker-compose.backup.yml'),
      join(folder, 'docker-compose.backup.yml'),
    );
    if (options.source) await copySource(options.source, folder);
    const stack = new Stack(folder, port, options);
    for (const [path, text] of Object.entries(options.extraFiles ?? {})) {
      await writeFile(join(folder, path), text);
    }
    await stack.configure(options.settings ?? {});
    return stack;
  }

  /** .env.production as the example has it, with a password that needs quoting, and these settings. */
  async configure(settings: Readonly<Record<string, string>>): Promise<void> {
    const example = await readFile(join(repository, 'docker/.env.production.example'), 'utf8');
    const all = {
      POSTGRES_PASSWORD: 'pa$word"#x%/@',
      HTTP_ADDRESS: '127.0.0.1',
      HTTP_PORT: String(this.port),
      DEV_PORT: String(this.port),
      DROPBACK_IMAGE: testImage,
      PUID: String(user.uid),
      PGID: String(user.gid),
      ...(await imageSettings()),
      ...settings,
    };
    const lines = Object.entries(all).map(([name, value]) => `${name}='${value}'`);
    await writeFile(join(this.folder, '.env.production'), `${example}\n${lines.join('\n')}\n`);
  }

  compose(args: readonly string[], options: { readonly check?: boolean } = {}): Promise<Ran> {
    const files = this.#files.flatMap((file) => ['-f', file]);
    const profiles = this.#profiles.flatMap((profile) => ['--profile', profile]);
    const project = ['compose', '-p', this.project, '--env-file', '.env.production'];
    return this.docker([...project, ...files, ...profiles, ...args], {
      cwd: this.folder,
      ...options,
    });
  }

  /** On the engine that the stack runs on. */
  docker(args: readonly string[], options: object = {}): Promise<Ran> {
    const { DOCKER_HOST = '', PATH, HOME } = { ...process.env, ...this.#engine };
    // Nothing else of the caller's environment may stand in for what .env.production says.
    return docker(args, { env: { PATH, HOME, ...(DOCKER_HOST && { DOCKER_HOST }) }, ...options });
  }

  /** Name of a service's container. */
  name(service: string): string {
    return `${this.project}-${service}-1`;
  }

  async inspect(service: string): Promise<ContainerFacts> {
    const { stdout } = await this.docker(['inspect', this.name(service)]);
    const [{ State: state }] = JSON.parse(stdout);
    const { StartedAt: startedAt, Running: running, Health: health } = state;
    return { startedAt, running, health: health?.Status ?? 'none' };
  }

  async startTimes(): Promise<Record<string, string>> {
    const format = '{{.Name}} {{.State.StartedAt}}';
    const { stdout: ids } = await this.compose(['ps', '-aq']);
    const { stdout } = await this.docker([
      'inspect',
      '--format',
      format,
      ...ids.trim().split('\n'),
    ]);
    return Object.fromEntries(
      stdout
        .trim()
        .split('\n')
        .map((line) => line.split(' ')),
    );
  }

  async logs(service: string): Promise<string> {
    const { stdout, stderr } = await this.docker(['logs', this.name(service)]);
    return stdout + stderr;
  }

  /** A program in a running container. Not by Compose, which reads all its files each time. */
  exec(service: string, command: readonly string[], options: { readonly check?: boolean } = {}) {
    return this.docker(['exec', this.name(service), ...command], options);
  }

  async sql(text: string, database = 'app'): Promise<string> {
    const psql = ['psql', '-U', 'app', '-d', database, '-XAtqc', text];
    return (await this.exec('postgres', psql)).stdout.trim();
  }

  url(path = '/'): string {
    return `http://127.0.0.1:${this.port}${path}`;
  }

  async fetch(path = '/', init: RequestInit = {}): Promise<{ status: number; text: string }> {
    const signal = AbortSignal.timeout(10_000);
    const response = await fetch(this.url(path), { signal, redirect: 'manual', ...init });
    return { status: response.status, text: await response.text() };
  }

  async addRecords(title: string, count: number): Promise<void> {
    const body = new URLSearchParams({ title, count: String(count) });
    const { status, text } = await this.fetch('/records', { method: 'POST', body });
    if (status !== 303) throw new Error(`adding records: ${status} ${text}`);
  }

  async removeRecords(): Promise<void> {
    await this.fetch('/records/remove-all', { method: 'POST' });
  }

  async countRecords(): Promise<number> {
    return (JSON.parse((await this.fetch('/records')).text) as { count: number }).count;
  }

  /** Ids of the backups that are listed on the host: their manifests, oldest first. */
  async backups(): Promise<string[]> {
    const names = await list(join(this.folder, 'backups'), 2);
    return names
      .filter((name) => /\d{8}T\d{6}Z[^/]*\.json$/.test(name) && !name.endsWith('.state.json'))
      .sort();
  }

  /** Path of the newest backup's archive on the host. */
  async newestArchive(): Promise<string> {
    const manifest = (await this.backups()).at(-1);
    if (!manifest) throw new Error('there is no backup');
    const stem = manifest.replace(/\.json$/, '');
    return this.archive(stem);
  }

  /**
   * Makes a backup of what is there now, and gives the path of its archive on the host. It need not
   * stay the newest: the daemon's own first run may have waited for this one, and come after it.
   */
  async backUp(): Promise<string> {
    const { stdout } = await this.exec('db-backup', ['dropback', 'backup', '--json']);
    return this.archive((JSON.parse(stdout) as { id: string }).id);
  }

  private async archive(stem: string): Promise<string> {
    const all = await list(join(this.folder, 'backups'), 2);
    const archive = all.find((name) => name.includes(`${stem}.`) && !name.endsWith('.json'));
    if (!archive) throw new Error(`no archive for ${stem}`);
    return archive;
  }

  /** `cp FILE ./restore/incoming/`, as the user whom the folder belongs to. */
  async drop(file: string, name?: string): Promise<void> {
    const incoming = join(this.folder, 'restore/incoming');
    // db-restore makes it at its start; before that, cp would make a file of that name.
    await until('the drop folder', async () => (await readdir(incoming)) !== undefined, 120);
    const target = join(incoming, name ?? '');
    await run('cp', ['--', file, target], process.getuid?.() === 0 ? user : {});
  }

  /** Reports of drops in done/ and failed/, by file name. */
  async reports(folder: 'done' | 'failed'): Promise<Record<string, Report>> {
    const path = join(this.folder, 'restore', folder);
    const names = (await readdir(path).catch(() => [])).filter((n) => n.endsWith('.report.json'));
    const read = async (name: string) => [
      name,
      JSON.parse(await readFile(join(path, name), 'utf8')),
    ];
    return Object.fromEntries(await Promise.all(names.map(read)));
  }

  /** What db-restore says of itself. */
  async restoreStatus(): Promise<RestoreDaemonStatus> {
    const status = await readDaemonStatus(join(this.folder, 'restore/requests'));
    if (!status) throw new Error('db-restore has said nothing yet');
    return status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.compose(['down', '-v', '--remove-orphans', '-t', '3'], { check: false });
    await rm(this.folder, { recursive: true, force: true });
  }
}

export interface StackOptions {
  /** Below the stack's folder. */
  readonly files: readonly string[];
  readonly profiles?: readonly string[];
  /** Further lines of .env.production. */
  readonly settings?: Readonly<Record<string, string>>;
  /** The repository, where the stack builds the image itself. */
  readonly source?: string;
  /** An engine other than the usual one. */
  readonly dockerHost?: string;
  /** Path below the stack's folder → content. */
  readonly extraFiles?: Readonly<Record<string, string>>;
}

export interface ContainerFacts {
  readonly startedAt: string;
  readonly running: boolean;
  readonly health: string;
}

export interface Report {
  readonly outcome: string;
  readonly error?: { readonly code: string; readonly message: string };
  readonly [key: string]: unknown;
}

/** Looks until `condition` returns something, and returns it. */
export async function until<T>(
  what: string,
  condition: () => Promise<T | undefined | false>,
  seconds = 60,
  everyMs = 250,
): Promise<T> {
  const end = Date.now() + seconds * 1000;
  let last: unknown;
  for (;;) {
    try {
      const found = await condition();
      if (found !== undefined && found !== false) return found;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`not within ${seconds} s: ${what}`, { cause: last });
    await delay(everyMs);
  }
}

async function list(folder: string, depth: number): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const found = await Promise.all(
    entries.map((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() && depth > 1 ? list(path, depth - 1) : [path];
    }),
  );
  return found.flat();
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

function ownIds() {
  return { uid: process.getuid?.() ?? 1000, gid: process.getgid?.() ?? 1000 };
}

/** Where screenshots and the like are kept. */
export async function artefacts(): Promise<string> {
  const folder = join(repository, '.cache/e2e');
  await mkdir(folder, { recursive: true });
  return folder;
}

/** What the image is built from. */
async function copySource(from: string, to: string): Promise<void> {
  const names = ['package.json', 'package-lock.json', '.npmrc', 'tsconfig.json', 'LICENSE', 'src'];
  for (const name of [...names, 'tsconfig.build.json', '.dockerignore']) {
    await cp(join(from, name), join(to, name), { recursive: true });
  }
}
