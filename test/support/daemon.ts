import { type ChildProcess, spawn } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Manifest } from '../../src/core/archive/manifest.ts';
import type { RestoreReport } from '../../src/core/requests/report.ts';

const root = new URL('../../', import.meta.url).pathname;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A test that times out is not disposed of: what it started goes with this process. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** One of the programs as users run it: a process of its own, told by its environment. */
export class Daemon {
  readonly lines: string[] = [];
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  #isRunning = true;

  constructor(
    program: 'db-backup' | 'db-restore' | 'dropback',
    environment: Readonly<Record<string, string>>,
    args: readonly string[] = [],
    command: readonly string[] = fromSource(program),
  ) {
    const [file = '', ...before] = command;
    this.#child = spawn(file, [...before, ...args], {
      env: { PATH: process.env['PATH'] ?? '', ...compileCache(), ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(this.#child);
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      let rest = '';
      stream?.on('data', (chunk: Buffer) => {
        const parts = (rest + chunk.toString()).split('\n');
        rest = parts.pop() ?? '';
        this.lines.push(...parts);
      });
    }
    this.exited = new Promise((resolve) =>
      this.#child.once('close', (code, signal) => {
        this.#isRunning = false;
        running.delete(this.#child);
        resolve({ code, signal });
      }),
    );
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  get output(): string {
    return this.lines.join('\n');
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async stop(): Promise<Exit> {
    if (this.#isRunning) this.#child.kill('SIGTERM');
    return await this.exited;
  }

  /** Waits until the log has a line that matches; fails with the whole log otherwise. */
  async says(pattern: RegExp, withinMs = 30_000): Promise<string> {
    return await this.until(
      `a line ${pattern}`,
      () => this.lines.find((line) => pattern.test(line)),
      withinMs,
    );
  }

  async until<T>(
    what: string,
    look: () => T | undefined | Promise<T | undefined>,
    withinMs = 60_000,
  ): Promise<T> {
    const deadline = performance.now() + withinMs;
    while (performance.now() < deadline) {
      const found = await look();
      if (found !== undefined) return found;
      if (!this.#isRunning) break;
      await sleep(25);
    }
    const found = await look();
    if (found !== undefined) return found;
    throw new Error(`${what} did not come; the log:\n${this.output.slice(-8000)}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isRunning) this.#child.kill('SIGKILL');
    await this.exited;
  }
}

/** As the tests have it (`vitest.config.ts`); a soak has none. */
function compileCache(): Record<string, string> {
  return { NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] ?? join(root, '.cache/compiled') };
}

function fromSource(program: string): string[] {
  const script = join(root, 'src', 'bin', `${program}.ts`);
  return [process.execPath, '--disable-warning=ExperimentalWarning', script];
}

/** Folders of one stack in a temporary place, and what is found in them. */
export class Bench implements AsyncDisposable {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async create(): Promise<Bench> {
    const folder = await mkdtemp(join(tmpdir(), 'dropback-e2e-'));
    await mkdir(join(folder, 'data'));
    return new Bench(folder);
  }

  path(...parts: string[]): string {
    return join(this.folder, ...parts);
  }

  /** What both daemons are told. */
  environment(extra: Readonly<Record<string, string>>): Record<string, string> {
    return {
      BACKUP_NAME: 'app',
      BACKUP_DIR: this.path('backups'),
      BACKUP_INTERVAL_SECONDS: '3600',
      RESTORE_WATCH_DIR: this.path('restore', 'incoming'),
      RESTORE_STATE_FILE: this.path('restore', 'state.json'),
      RESTORE_POLL_INTERVAL: '0.5',
      HEALTH_PORT: '0',
      ...extra,
    };
  }

  async files(...parts: string[]): Promise<string[]> {
    return (await readdir(this.path(...parts)).catch(() => [])).sort();
  }

  /** Manifests of what is listed, oldest first. */
  async manifests(name = 'app'): Promise<Manifest[]> {
    const files = (await this.files('backups', name)).filter((file) => /Z\.json$/.test(file));
    const read = files.map(async (file) =>
      JSON.parse(await readFile(this.path('backups', name, file), 'utf8')),
    );
    return (await Promise.all(read)) as Manifest[];
  }

  archivePath(manifest: Manifest): string {
    return this.path('backups', manifest.name, manifest.archive.file);
  }

  /**
   * Drops a copy as a careful user does: under a temporary name, then renamed. `database`: of
   * several the one that it is for.
   */
  async drop(source: string, name = basename(source), database = ''): Promise<void> {
    const incoming = this.path('restore', 'incoming', database);
    await mkdir(incoming, { recursive: true });
    await copyFile(source, join(incoming, `.${name}.part`));
    await rename(join(incoming, `.${name}.part`), join(incoming, name));
  }

  /** The report of a drop, once it is there. */
  async report(name: string): Promise<(RestoreReport & { folder: 'done' | 'failed' }) | undefined> {
    for (const folder of ['done', 'failed'] as const) {
      const files = await this.files('restore', folder);
      const file = files.find((entry) => entry.startsWith(name) && entry.endsWith('.report.json'));
      if (!file) continue;
      const text = await readFile(this.path('restore', folder, file), 'utf8');
      return { folder, ...(JSON.parse(text) as RestoreReport) };
    }
    return undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}
