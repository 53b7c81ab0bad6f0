import { copyFile, mkdir, readFile, rename } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, extname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RestoreReport } from '../../../src/core/requests/report.ts';
import { Bench, Daemon } from '../daemon.ts';
import { CrashContainers } from './containers.ts';
import { comesTrue, judge, requireEqual } from './judge.ts';
import { Points, type Target } from './points.ts';
import { PostgresSite } from './postgres-site.ts';
import type { Content, CrashSite } from './site.ts';
import { onlyReads, SqlProxy } from './sql-proxy.ts';

const preload = new URL('./preload.ts', import.meta.url).href;
const CONTAINERS = ['web', 'worker'];
/** Generous: the machine may be busy with other things. Milliseconds. */
const PATIENCE_MS = 120_000;

/** What a round came to. */
export interface Round {
  /** The point at which the daemon died, or undefined where the restore ran through before. */
  readonly killedAt: string | undefined;
  /** Points that the restore passed. */
  readonly points: readonly string[];
}

/** Where the first life ends: at a point, or so many milliseconds after the drop was claimed. */
export type End = { readonly point: Target } | { readonly afterMs: number };

export interface RoundOptions {
  /** What else goes wrong, once the first daemon is dead; may start the next one (`daemon`). */
  readonly between?: () => Promise<void>;
  /** When the statement at whose point the daemon dies comes to the server all the same. */
  readonly late?: Promise<void>;
  /** The second life is killed too, so many milliseconds after its start. */
  readonly secondLifeMs?: number;
}

export const RUN_THROUGH: End = { point: Number.MAX_SAFE_INTEGER };

/**
 * One site with db-restore beside it, in rounds: a restore is begun and its daemon killed somewhere
 * in the middle; the next daemon has to bring everything in order. It goes on into the next round.
 */
export class CrashWorld implements AsyncDisposable {
  readonly site: CrashSite;
  readonly bench: Bench;
  readonly containers: CrashContainers;
  readonly #points: Points;
  readonly #signal: 'SIGKILL' | 'SIGTERM';
  #proxy: SqlProxy | undefined;
  #daemon: Daemon | undefined;
  #spare: Daemon | undefined;
  #log: string[] = [];
  #live: Content = 'A';
  #late: Promise<void> | undefined;
  #rounds = 0;
  /** Daemons that worked on the present round's drop. */
  #lives = 0;

  private constructor(site: CrashSite, bench: Bench, signal: 'SIGKILL' | 'SIGTERM') {
    this.site = site;
    this.bench = bench;
    this.#points = new Points(bench.path('points'));
    this.#signal = signal;
    this.containers = new CrashContainers(CONTAINERS, (what) => this.#pass(what));
  }

  /** `signal` is what ends the daemon at a point: killed, or asked to end. */
  static async create(
    site: CrashSite,
    signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL',
  ): Promise<CrashWorld> {
    const world = new CrashWorld(site, await Bench.create(), signal);
    await world.containers.up();
    if (site instanceof PostgresSite) {
      world.#proxy = await SqlProxy.listen(
        { host: '127.0.0.1', port: site.port },
        {
          before: async ({ text, isOurs }) => {
            if (!isOurs || onlyReads(text) || world.#pass(`before ${oneLine(text)}`)) return true;
            await world.#late;
            return world.#late !== undefined;
          },
          sent: ({ text, isOurs }) => {
            if (isOurs && !onlyReads(text)) world.#pass(`sent ${oneLine(text)}`);
          },
        },
      );
      site.port = world.#proxy.port;
    }
    return world;
  }

  /** The daemon's log since the world began, for failures. */
  get log(): string {
    return [...this.#log, ...(this.#daemon?.lines ?? [])].join('\n');
  }

  /** Of the drop of the last round. */
  async lastReport(): Promise<RestoreReport | undefined> {
    return await this.bench.report(`round-${this.#rounds}.`);
  }

  /** The one that runs; started where none does. */
  get daemon(): Daemon {
    if (this.#daemon?.isRunning) return this.#daemon;
    if (this.#daemon) this.#log = [...this.#log, ...this.#daemon.lines].slice(-400);
    this.#lives += 1;
    this.#daemon = this.#spare ?? this.#start();
    this.#spare = undefined;
    return this.#daemon;
  }

  /** A second daemon on the same folder; it is the `daemon` when the first one is dead. */
  standBy(): Daemon {
    this.#spare = this.#start();
    return this.#spare;
  }

  /** One restore, ended at `end` (if it comes so far) and brought in order; throws what is wrong. */
  async round(end: End, options: RoundOptions = {}): Promise<Round> {
    const wanted: Content = this.#live === 'A' ? 'B' : 'A';
    const name = `round-${++this.#rounds}${extname(this.site.dumpOf(wanted))}`;
    await this.#isWatching();
    this.#lives = 1;
    this.#late = options.late;
    this.#points.arm('point' in end ? end.point : Number.MAX_SAFE_INTEGER);
    await this.#drop(this.site.dumpOf(wanted), name);
    if ('afterMs' in end) await this.#killLater(name, end.afterMs);
    await this.#until(
      'the end of the first life',
      async () => this.#hasDied || (!this.#points.reachedName && (await this.#isFiled(name))),
    );
    const passed = this.#points.reachedName;
    const points = this.#points.disarm();
    const killedAt = this.#hasDied ? (passed ?? points.at(-1)) : undefined;
    try {
      if (this.#hasDied) await this.#otherLives(options);
      await this.#isWatching();
      await this.#until('the drop to be filed', () => this.#isFiled(name));
      await judge({ world: this, name, wanted, mostAttempts: this.#lives, withinMs: PATIENCE_MS });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const when = killedAt ? `ended at ${JSON.stringify(killedAt)}` : 'not ended';
      const what = `${this.site.name}, ${when} (${JSON.stringify({ end, ...options })})`;
      throw new Error(`${what}: ${why}\n${points.join('\n')}\n${this.log.slice(-12_000)}`);
    }
    this.#live = wanted;
    return { killedAt, points };
  }

  /** What must hold at every instant; then whatever else this round has in store. */
  async #otherLives({ between, secondLifeMs }: RoundOptions): Promise<void> {
    if (this.#signal === 'SIGTERM') {
      await this.#requireInOrder();
      const { code } = (await this.#daemon?.exited) ?? {};
      requireEqual(code, 0, 'the exit code');
    }
    await between?.();
    await this.#requireWhole();
    if (secondLifeMs === undefined) return;
    const { daemon } = this;
    await sleep(secondLifeMs);
    daemon.kill('SIGKILL');
    await daemon.exited;
    await this.#requireWhole();
  }

  /** Looked at twice: a killed tool may still be in its last write. */
  async #requireWhole(): Promise<void> {
    if (isWhole(await this.site.live())) return;
    await sleep(1000);
    requireEqual(isWhole(await this.site.live()), true, 'the live database is whole');
  }

  /** A daemon that was asked to end leaves nothing undone, save the drop itself. */
  async #requireInOrder(): Promise<void> {
    requireEqual(this.containers.stopped, [], 'containers that are down after SIGTERM');
    requireEqual(await this.site.leftovers(), [], 'what is left over after SIGTERM');
  }

  async #isWatching(): Promise<void> {
    await this.daemon.says(/"watching for drops"/, PATIENCE_MS);
  }

  get #hasDied(): boolean {
    return this.#daemon?.isRunning === false;
  }

  /** The report is durable, and the journal says that nothing is in hand. */
  async #isFiled(name: string): Promise<boolean> {
    if (!(await this.bench.report(name))) return false;
    const text = await readFile(this.bench.path('restore', 'state.json'), 'utf8').catch(() => '');
    const { body } = JSON.parse(text || '{}') as {
      body?: { record: unknown; last: RestoreReport | null };
    };
    return body !== undefined && body.record === null;
  }

  async #killLater(name: string, afterMs: number): Promise<void> {
    const { daemon } = this;
    await this.#until('the claim', async () => {
      const files = await this.bench.files('restore', 'incoming');
      return !files.includes(name) || this.#hasDied;
    });
    await sleep(afterMs);
    daemon.kill(this.#signal);
    await daemon.exited;
  }

  #pass(name: string): boolean {
    if (!this.#points.reached(name)) return true;
    this.#daemon?.kill(this.#signal);
    return this.#signal === 'SIGTERM';
  }

  #start(): Daemon {
    const { DATABASE_URL, ...others } = this.site.environment();
    return new Daemon(
      'db-restore',
      this.bench.environment({
        ...(DATABASE_URL ? { DATABASE_URL } : {}),
        ...others,
        RESTORE_STOP_CONTAINERS: CONTAINERS.join(),
        RESTORE_STOP_TIMEOUT: '1',
        RESTORE_POLL_INTERVAL: '0.2',
        DOCKER_HOST: this.containers.host,
        NODE_OPTIONS: `--import=${preload}`,
        NODE_COMPILE_CACHE: join(tmpdir(), 'dropback-compile-cache'),
        CRASH_POINTS: this.#points.folder,
        CRASH_SIGNAL: this.#signal,
        CRASH_UNDER: join(tmpdir(), 'dropback-'),
      }),
    );
  }

  async #drop(source: string, name: string): Promise<void> {
    const incoming = this.bench.path('restore', 'incoming');
    await mkdir(incoming, { recursive: true });
    await copyFile(source, this.bench.path(`part-${basename(name)}`));
    await rename(this.bench.path(`part-${basename(name)}`), `${incoming}/${name}`);
  }

  async #until(what: string, look: () => boolean | Promise<boolean>): Promise<void> {
    if (await comesTrue(look, PATIENCE_MS)) return;
    throw new Error(`${what} did not come:\n${this.log}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#spare?.[Symbol.asyncDispose]();
    await this.#daemon?.[Symbol.asyncDispose]();
    await this.containers[Symbol.asyncDispose]();
    await this.#proxy?.[Symbol.asyncDispose]();
    await this.site[Symbol.asyncDispose]();
    await this.bench[Symbol.asyncDispose]();
  }
}

function oneLine(text: string): string {
  const plain = text.replace(/\s+/g, ' ').trim();
  return plain.replace(/[0-9a-f]{8,}/g, '…').slice(0, 90);
}

function isWhole(live: string): boolean {
  return live === 'A' || live === 'B';
}
