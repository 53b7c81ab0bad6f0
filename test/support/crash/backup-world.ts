import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BackupStatus } from '../../../src/core/requests/backup-status.ts';
import { LocalStore } from '../../../src/core/stores/local/store.ts';
import type { Store } from '../../../src/core/stores/store.ts';
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

export interface WorldOptions {
  /** More variables of db-backup, for example those of the remote store, or recipients. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Where it uploads to: what that lists is judged too. */
  readonly remote?: Store;
  /** With recipients: then nothing in the folder of the backups may be anything but `.age`. */
  readonly encrypted?: boolean;
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
  readonly #options: WorldOptions;
  readonly #source: BackupSource;
  readonly #bench: Bench;
  readonly #port: number;
  readonly #store: LocalStore;
  /** Of the run that was not disturbed; milliseconds. */
  #longestMs = 0;

  private constructor(source: BackupSource, bench: Bench, port: number, options: WorldOptions) {
    this.#options = options;
    this.#source = source;
    this.#bench = bench;
    this.#port = port;
    this.#store = new LocalStore(bench.path('backups', 'app'), 'app');
  }

  static async create(source: BackupSource, options: WorldOptions = {}): Promise<BackupWorld> {
    return new BackupWorld(source, await Bench.create(), await freePort(), options);
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
    const { remote } = this.#options;
    if (!remote) return;
    const there = new Set((await remote.list(never)).backups.map(({ id }) => id));
    const missing = [...(await this.#listedIds())].filter((id) => !there.has(id));
    if (missing.length > 0) throw new Error(`not uploaded: ${missing}\n${daemon.output}`);
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
      ...this.#options.environment,
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

  /** Every backup that is listed is whole, wherever it is. */
  async #judgeListed(): Promise<void> {
    const { remote, encrypted } = this.#options;
    await this.#judgeStore(this.#store);
    if (remote) await this.#judgeStore(remote);
    if (encrypted) await this.#judgeEncrypted();
  }

  async #judgeStore(store: Store): Promise<void> {
    for (const manifest of (await store.list(never)).backups) {
      await store.verify(manifest, never).catch(async (error: unknown) => {
        // A daemon that runs removes what retention no longer keeps.
        const { backups } = await store.list(never);
        if (backups.some(({ id }) => id === manifest.id)) throw error;
      });
      const rows = manifest.tables.reduce((sum, table) => sum + table.rows, 0);
      if (rows !== this.#source.rows) throw new Error(`${manifest.id} has ${rows} rows`);
    }
  }

  /** Finished or not: an archive begins as age's files do, or has nothing in it yet. */
  async #judgeEncrypted(): Promise<void> {
    const header = 'age-encryption.org/v1';
    for (const name of await this.#bench.files('backups', 'app')) {
      if (!name.includes('.age')) {
        if (/\.json(\.partial|\.removing)?$|\.tmp$/.test(name)) continue;
        throw new Error(`not encrypted: ${name}`);
      }
      // Retention may remove it right now.
      const content = await readFile(this.#bench.path('backups', 'app', name)).catch(
        () => undefined,
      );
      const head = content?.subarray(0, header.length).toString() ?? '';
      if (!header.startsWith(head)) throw new Error(`not encrypted: ${name}: ${head}`);
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
