import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BackupStatus } from '../../../src/core/requests/backup-status.ts';
import { LocalStore } from '../../../src/core/stores/local/store.ts';
import { Bench, Daemon } from '../daemon.ts';
import { type FoundProcess, isRunning, processTree } from './processes.ts';

const never = new AbortController().signal;
/** For a daemon on a busy machine. */
const LONG_MS = 120_000;

/** A database that is backed up while its processes are killed. */
export interface BackupSource extends AsyncDisposable {
  readonly url: string;
  /** Of all its tables. */
  readonly rows: number;
}

export interface KilledRound {
  /** Name of the process that was killed; `db-backup` is the daemon itself. */
  readonly killed: string;
  /** What came of it. */
  readonly outcome: 'the daemon ended' | 'the run failed' | 'the run went well';
}

/**
 * One database, and one db-backup after another that makes backup after backup. In each round one
 * process of the daemon's tree is killed; then everything is judged, by what lies on the volume and
 * what the daemon says.
 */
export class BackupWorld implements AsyncDisposable {
  readonly #source: BackupSource;
  readonly #bench: Bench;
  readonly #port: number;
  readonly #store: LocalStore;
  /** Of the run that was not disturbed; milliseconds. */
  #longestMs = 0;

  private constructor(source: BackupSource, bench: Bench, port: number) {
    this.#source = source;
    this.#bench = bench;
    this.#port = port;
    this.#store = new LocalStore(bench.path('backups', 'app'), 'app');
  }

  static async create(source: BackupSource): Promise<BackupWorld> {
    return new BackupWorld(source, await Bench.create(), await freePort());
  }

  /** `random`: from 0 to 1. Throws at the first thing that is not as promised. */
  async round(random: () => number): Promise<KilledRound> {
    const left = await this.#unfinished();
    await using daemon = this.#start();
    await this.#judgeFirstRun(daemon, left);
    const known = await this.#listedIds();
    await this.#nextRun(daemon);
    await sleep(random() * this.#longestMs);
    const tree = processTree(daemon.pid).sort((a, b) => (a.name < b.name ? -1 : 1));
    const victim = tree[Math.floor(random() * tree.length)];
    if (!victim) throw new Error(`the daemon ended by itself:\n${daemon.output}`);
    const at = Date.now();
    tryKill(victim.pid);
    const outcome =
      victim.pid === daemon.pid
        ? await this.#judgeEnd(daemon, tree)
        : await this.#judgeTold(daemon, known, at);
    await this.#judgeListed();
    return { killed: victim.pid === daemon.pid ? 'db-backup' : victim.name, outcome };
  }

  /** A last, undisturbed run: then nothing is left of all the others. */
  async finish(): Promise<void> {
    const daemon = this.#start(['--once']);
    const { code } = await daemon.exited;
    const left = await this.#unfinished();
    if (code !== 0 || left.length > 0) throw new Error(`left: ${left}\n${daemon.output}`);
    await this.#judgeListed();
  }

  #start(args: readonly string[] = []): Daemon {
    const environment = this.#bench.environment({
      DATABASE_URL: this.#source.url,
      BACKUP_INTERVAL_SECONDS: '1',
      BACKUP_KEEP_LAST: '3',
      BACKUP_KEEP_DAILY: '0',
      BACKUP_KEEP_WEEKLY: '0',
      BACKUP_KEEP_MONTHLY: '0',
      HEALTH_PORT: String(this.#port),
    });
    return new Daemon('db-backup', environment, args);
  }

  /** Its first run makes a good backup, and sweeps what was left before. */
  async #judgeFirstRun(daemon: Daemon, left: readonly string[]): Promise<void> {
    await daemon.says(/"backup started"/, LONG_MS);
    const since = performance.now();
    await daemon.says(/"backup listed"/, LONG_MS);
    this.#longestMs = Math.max(this.#longestMs, performance.now() - since);
    const still = (await this.#unfinished()).filter((file) => left.includes(file));
    if (still.length > 0) throw new Error(`not swept: ${still.join(', ')}\n${daemon.output}`);
    await this.#judgeListed();
    const status = await this.#status();
    if (status?.['health'] !== 'healthy') {
      throw new Error(`after a good run: ${JSON.stringify(status)}\n${daemon.output}`);
    }
  }

  async #nextRun(daemon: Daemon): Promise<void> {
    const started = () => daemon.lines.filter((line) => line.includes('"backup started"')).length;
    await daemon.until('the next run', () => (started() >= 2 ? true : undefined), LONG_MS);
  }

  /** Nothing that it started outlives the daemon. */
  async #judgeEnd(daemon: Daemon, tree: readonly FoundProcess[]): Promise<'the daemon ended'> {
    await daemon.exited;
    const deadline = performance.now() + 30_000;
    for (;;) {
      const alive = tree.filter(({ pid }) => isRunning(pid));
      if (alive.length === 0) return 'the daemon ended';
      if (performance.now() > deadline) throw new Error(`still runs: ${JSON.stringify(alive)}`);
      await sleep(25);
    }
  }

  /** The endpoint tells a failed run as that; or the process had done its part already. */
  async #judgeTold(daemon: Daemon, known: ReadonlySet<string>, at: number) {
    return await daemon.until(
      'an outcome that is told',
      async () => {
        const status = await this.#status();
        if (!status) return undefined;
        const { lastFailure, lastGood, health } = status;
        if (lastFailure && Date.parse(lastFailure.at) >= at) {
          if (health === 'healthy') throw new Error(`a failure, and healthy: ${daemon.output}`);
          return 'the run failed' as const;
        }
        return lastGood && !known.has(lastGood.id) ? ('the run went well' as const) : undefined;
      },
      LONG_MS,
    );
  }

  /** Every backup that is listed is whole. */
  async #judgeListed(): Promise<void> {
    for (const manifest of (await this.#store.list(never)).backups) {
      await this.#store.verify(manifest, never).catch(async (error: unknown) => {
        // A daemon that runs removes what retention no longer keeps.
        if (await this.#store.lists(manifest.id)) throw error;
      });
      const rows = manifest.tables.reduce((sum, table) => sum + table.rows, 0);
      if (rows !== this.#source.rows) throw new Error(`${manifest.id} has ${rows} rows`);
    }
  }

  async #listedIds(): Promise<Set<string>> {
    return new Set((await this.#store.list(never)).backups.map(({ id }) => id));
  }

  /** Names below BACKUP_DIR that no finished backup has. */
  async #unfinished(): Promise<string[]> {
    const { strays } = await this.#store.list(never);
    const folders = [['app'], ['.dropback', 'app']].map((path) =>
      this.#bench.files('backups', ...path),
    );
    const names = (await Promise.all(folders)).flat();
    const isUnfinished = (name: string) => /partial|removing|\.tmp$|\.dropback_c_/.test(name);
    return [...names.filter(isUnfinished), ...strays.map(({ name }) => name)];
  }

  async #status(): Promise<(BackupStatus & { health: string }) | undefined> {
    try {
      const answer = await fetch(`http://127.0.0.1:${this.#port}/status`);
      return (await answer.json()) as BackupStatus & { health: string };
    } catch {
      return undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#bench[Symbol.asyncDispose]();
    await this.#source[Symbol.asyncDispose]();
  }
}

function tryKill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has just ended by itself.
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address ? address.port : 0;
}
