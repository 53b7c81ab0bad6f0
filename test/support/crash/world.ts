import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RestoreReport } from '../../../src/core/requests/report.ts';
import { Bench, Daemon } from '../daemon.ts';
import { CrashContainers } from './containers.ts';
import type { Errand } from './errand.ts';
import { comesTrue, judge, requireEqual } from './judge.ts';
import { Points } from './points.ts';
import { PostgresSite } from './postgres-site.ts';
import {
  type End,
  type Round,
  type RoundOptions,
  RUN_THROUGH,
  type WorldOptions,
} from './round.ts';
import { type CrashSite, NOTHING } from './site.ts';
import { onlyReads, SqlProxy, type Statement } from './sql-proxy.ts';
import { Turns } from './turns.ts';
import { leavesLive, WALKS, type Walk } from './walks.ts';

const preload = new URL('./preload.ts', import.meta.url).href;
const CONTAINERS = ['web', 'worker'];
/** Generous: the machine may be busy with other things. Milliseconds. */
const PATIENCE_MS = 300_000;

export { RUN_THROUGH };

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
  readonly #walk: Walk;
  #proxy: SqlProxy | undefined;
  #daemon: Daemon | undefined;
  #spare: Daemon | undefined;
  #log: string[] = [];
  readonly #turns: Turns;
  #errand: Errand | undefined;
  #late: Promise<void> | undefined;
  /** Daemons that worked on the present round's drop. */
  #lives = 0;

  private constructor(site: CrashSite, bench: Bench, options: WorldOptions) {
    this.site = site;
    this.bench = bench;
    this.#points = new Points(bench.path('points'));
    this.#signal = options.signal ?? 'SIGKILL';
    this.#walk = options.walk ?? WALKS.restore;
    this.#turns = new Turns(site, bench, this.#walk);
    this.containers = new CrashContainers(CONTAINERS, (what) => this.#pass(what));
  }

  static async create(site: CrashSite, options: WorldOptions = {}): Promise<CrashWorld> {
    const world = new CrashWorld(site, await Bench.create(), options);
    await world.containers.up();
    if (site instanceof PostgresSite) await world.#standBefore(site);
    return world;
  }

  async #standBefore(site: PostgresSite): Promise<void> {
    // In place it is psql that swaps: what it says counts as much as what the daemon says.
    const isPoint = ({ text, isOurs }: Statement) =>
      (isOurs || site.archives !== undefined) && !onlyReads(text);
    this.#proxy = await SqlProxy.listen(
      { host: '127.0.0.1', port: site.port },
      {
        before: async (statement) => {
          if (!isPoint(statement)) return true;
          if (this.#pass(`before ${oneLine(statement.text)}`)) return true;
          await this.#late;
          return this.#late !== undefined;
        },
        sent: (statement) => {
          if (isPoint(statement)) this.#pass(`sent ${oneLine(statement.text)}`);
        },
      },
    );
    site.port = this.#proxy.port;
  }

  /** The daemon's log since the world began, for failures. */
  get log(): string {
    return [...this.#log, ...(this.#daemon?.lines ?? [])].join('\n');
  }

  /** Of the last round. */
  async lastReport(): Promise<RestoreReport | undefined> {
    return await this.#errand?.report();
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
    await this.#isWatching();
    const { errand, wanted } = await this.#turns.next();
    this.#errand = errand;
    this.#lives = 1;
    this.#late = options.late;
    this.#points.arm('point' in end ? end.point : Number.MAX_SAFE_INTEGER);
    await errand.submit();
    if ('afterMs' in end) await this.#killLater(errand, end.afterMs);
    await this.#until(
      'the end of the first life',
      async () => this.#hasDied || (!this.#points.reachedName && (await errand.isEnded())),
    );
    const passed = this.#points.reachedName;
    const points = this.#points.disarm();
    const killedAt = this.#hasDied ? (passed ?? points.at(-1)) : undefined;
    try {
      if (this.#hasDied) await this.#otherLives(options);
      await this.#isWatching();
      await this.#until('the end', () => errand.isEnded());
      if (await errand.wasNotBegun()) await this.#askAgain(errand);
      await judge({
        world: this,
        errand,
        wanted,
        mostAttempts: this.#lives,
        withinMs: PATIENCE_MS,
      });
      if (leavesLive(this.#walk)) requireEqual(points.filter(isStop), [], 'stops of containers');
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const when = killedAt ? `ended at ${JSON.stringify(killedAt)}` : 'not ended';
      const what = `${this.site.name}, ${when} (${JSON.stringify({ end, ...options })})`;
      throw new Error(`${what}: ${why}\n${points.join('\n')}\n${this.log.slice(-12_000)}`);
    }
    await this.site.removeSide();
    return { killedAt, points };
  }

  async #askAgain(errand: Errand): Promise<void> {
    await errand.submit();
    await this.#until('the end, asked again', () => errand.isEnded());
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
    if (this.#isWhole(await this.site.live())) return;
    await sleep(1000);
    const live = await this.site.live();
    requireEqual(this.#isWhole(live), true, `the live database is whole: ${live}`);
  }

  #isWhole(live: string): boolean {
    return live === 'A' || live === 'B' || (live === NOTHING && this.#walk.fromNothing === true);
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

  async #killLater(errand: Errand, afterMs: number): Promise<void> {
    const { daemon } = this;
    await this.#until('the claim', async () => (await errand.isTaken()) || this.#hasDied);
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
        ...this.#walk.settings,
        RESTORE_STOP_CONTAINERS: CONTAINERS.join(),
        RESTORE_STOP_TIMEOUT: '1',
        RESTORE_POLL_INTERVAL: '0.2',
        DOCKER_HOST: this.containers.host,
        NODE_OPTIONS: `--import=${preload}`,
        CRASH_POINTS: this.#points.folder,
        CRASH_SIGNAL: this.#signal,
        CRASH_UNDER: join(tmpdir(), 'dropback-'),
      }),
    );
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

function isStop(point: string): boolean {
  return point.startsWith('docker: stop');
}
