import { mkdtempSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Alerts } from '../../../src/core/alerts/alert.ts';
import type { Manifest } from '../../../src/core/archive/manifest.ts';
import type { HooksConfig } from '../../../src/core/config/config.ts';
import { Application } from '../../../src/core/containers/application.ts';
import { createLogger, type Logger, silentLogger } from '../../../src/core/observability/log.ts';
import type { RestoreReport } from '../../../src/core/requests/report.ts';
import { type Clock, systemClock } from '../../../src/core/runtime/clock.ts';
import { DropbackError } from '../../../src/core/runtime/errors.ts';
import type { Checkpoint } from '../../../src/restore/checkpoint.ts';
import { RestoreDaemon, type RestoreDaemonConfig } from '../../../src/restore/daemon.ts';
import type { ApplicationControl } from '../../../src/restore/parts.ts';
import { SteppedClock } from '../stepped-clock.ts';
import { type Fault, FileEngine } from './file-engine.ts';
import { FileRuntime } from './file-runtime.ts';

export interface WorldOptions {
  readonly config?: Partial<RestoreDaemonConfig>;
  readonly engineFault?: Fault;
  readonly containerFault?: (call: string) => void;
  /** Containers of a real engine instead of files. */
  readonly application?: ApplicationControl;
  readonly checkpoint?: Checkpoint;
  /** An empty folder, or one to be made; default: a temporary one. */
  readonly root?: string;
  readonly stop?: readonly string[];
  readonly start?: readonly string[];
  /** Default: 1. */
  readonly stopGraceSeconds?: number;
  readonly manifests?: ReadonlyMap<string, Manifest>;
  readonly hooks?: HooksConfig;
  readonly alerts?: Alerts;
  readonly log?: Logger;
  /** Name of the live database in `data/`; default: `app.db`. */
  readonly database?: string;
  /** The daemon's; where it is stepped, waiting lets its time pass. */
  readonly clock?: Clock;
}

/** A script as `sqlite3 .dump` writes it, which is what the file engine's databases hold. */
export function script(...tables: string[]): string {
  const lines = tables.map((name) => `CREATE TABLE ${name}(x);`);
  return ['PRAGMA foreign_keys=OFF;', 'BEGIN TRANSACTION;', ...lines, 'COMMIT;', ''].join('\n');
}

/** One folder with a database, containers and a drop folder; a daemon on it when asked for. */
export class World implements AsyncDisposable {
  readonly root: string;
  readonly live: string;
  readonly incoming: string;
  readonly runtime: FileRuntime;
  readonly engine: FileEngine;
  readonly daemon: RestoreDaemon;
  readonly #clock: Clock;
  readonly #end = new AbortController();
  #running: Promise<void> | undefined;

  constructor(root: string, options: WorldOptions = {}) {
    this.root = root;
    this.live = join(root, 'data', options.database ?? 'app.db');
    this.incoming = join(root, 'restore', 'incoming');
    this.runtime = new FileRuntime(join(root, 'containers'), options.containerFault);
    this.engine = new FileEngine(this.live, options.engineFault, options.clock);
    this.#clock = options.clock ?? systemClock;
    this.daemon = this.#makeDaemon(options);
  }

  static async create(options: WorldOptions = {}): Promise<World> {
    const root = options.root ?? mkdtempSync(join(tmpdir(), 'dropback-machine-'));
    await mkdir(join(root, 'data'), { recursive: true });
    const world = new World(root, options);
    await writeFile(world.live, script('old'));
    await mkdir(world.incoming, { recursive: true });
    for (const name of ['web', 'worker']) world.runtime.set(name, 'running');
    return world;
  }

  start(): this {
    this.#running = this.daemon.run(this.#end.signal);
    return this;
  }

  async stop(): Promise<void> {
    this.#end.abort();
    await this.#running;
  }

  async remove(): Promise<void> {
    await this.stop();
    await rm(this.root, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.remove();
  }

  path(...parts: string[]): string {
    return join(this.root, 'restore', ...parts);
  }

  async drop(name: string, content: string | Uint8Array, folder = this.incoming): Promise<void> {
    await mkdir(folder, { recursive: true });
    await writeFile(join(this.root, 'dropped.tmp'), content);
    await rename(join(this.root, 'dropped.tmp'), join(folder, name));
  }

  async liveText(): Promise<string> {
    return readFile(this.live, 'utf8');
  }

  /** Waits for the report of a name in done/ or failed/. */
  async report(name: string, withinMs = 120_000): Promise<RestoreReport & { folder: string }> {
    const until = Date.now() + withinMs;
    for (;;) {
      for (const folder of ['done', 'failed']) {
        const text = await readFile(this.path(folder, `${name}.report.json`), 'utf8').catch(
          () => undefined,
        );
        if (text) return { ...(JSON.parse(text) as RestoreReport), folder };
      }
      if (Date.now() > until) throw new Error(`no report of ${name}: ${await this.describe()}`);
      await this.#pause();
    }
  }

  async until(condition: () => boolean | Promise<boolean>, withinMs = 60_000): Promise<void> {
    const until = Date.now() + withinMs;
    while (!(await condition())) {
      if (Date.now() > until) throw new Error(`waited in vain: ${await this.describe()}`);
      await this.#pause();
    }
  }

  /** Where the clock is stepped: so many milliseconds, in great steps. */
  async pass(ms: number): Promise<void> {
    if (this.#clock instanceof SteppedClock) await this.#clock.advance(ms);
  }

  async #pause(): Promise<void> {
    if (this.#clock instanceof SteppedClock) await this.#clock.advance(200);
    else await new Promise((resolve) => setTimeout(resolve, 50));
  }

  async describe(): Promise<string> {
    const files = await readdir(this.root, { recursive: true });
    return JSON.stringify({ files, status: this.daemon.status() }, undefined, 1);
  }

  #makeDaemon(options: WorldOptions): RestoreDaemon {
    const log = options.log ?? (process.env['DROPBACK_TEST_LOG'] ? textLog() : silentLogger());
    const containers = {
      dockerHost: 'unix:///nowhere',
      stop: options.stop ?? ['web', 'worker'],
      start: options.start ?? [],
      stopGraceSeconds: options.stopGraceSeconds ?? 1,
    };
    const manifests = options.manifests ?? new Map<string, Manifest>();
    return new RestoreDaemon({
      config: {
        watchDir: this.incoming,
        stateFile: this.path('state.json'),
        pollIntervalMs: 500,
        settleMs: 2000,
        stopFirst: false,
        keepPreviousMs: 3_600_000,
        waitForBackupMs: 1000,
        ...options.config,
      },
      engine: this.engine,
      application:
        options.application ??
        new Application(this.runtime, containers, systemClock, log, undefined),
      catalogue: {
        findBySha256: async (sha256) => {
          const manifest = manifests.get(sha256);
          return manifest && { manifest, isListed: true };
        },
        fetch: async (id, destination) => {
          const manifest = [...manifests.values()].find((one) => id === 'latest' || one.id === id);
          if (!manifest) throw new DropbackError('store/not-found', `no ${id}`, { hint: 'list.' });
          await writeFile(destination, script('from_backup'));
          return manifest;
        },
      },
      clock: this.#clock,
      log,
      ...(options.hooks ? { hooks: options.hooks } : {}),
      ...(options.alerts ? { alerts: options.alerts } : {}),
      ...(options.checkpoint ? { checkpoint: options.checkpoint } : {}),
    });
  }
}

function textLog(): Logger {
  return createLogger({ level: 'info', format: 'text', program: 'test' });
}
