import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findProgram } from '../../../src/core/runtime/process/find-program.ts';
import { Bench, Daemon } from '../../../test/support/daemon.ts';
import { bytesIn } from '../contestants.ts';
import type { Lab } from '../lab.ts';
import { backUpOnce, startProgram } from '../product.ts';
import type { Contestant, Sample, Series } from '../series.ts';
import { quote, timeShell } from '../shell.ts';
import { fillSqlite } from '../sqlite-data.ts';

/** A script that a writer keeps from ending is given up after so many seconds for each megabyte. */
const LIMIT_S_PER_MB = 0.04;
const MOST_MB = 1000;

export async function sqliteGroup(lab: Lab): Promise<Series[]> {
  if (!findProgram('sqlite3')) {
    lab.leaveOut('sqlite: the program sqlite3 is not installed');
    return [];
  }
  const megabytes = Math.min(MOST_MB, Math.ceil(lab.options.megabytes / 2));
  lab.say(`filling a SQLite database of ${megabytes} MB …`);
  await using bench = await Bench.create();
  const path = bench.path('data', 'app.db');
  await fillSqlite(path, megabytes);
  const limit = 10 + megabytes * LIMIT_S_PER_MB;
  const site = new SqliteSite(lab, bench, path, limit);
  const online = 'sqlite3 "$DATABASE" ".backup copy.db"; gzip copy.db';
  const vacuum = `sqlite3 "$DATABASE" "VACUUM INTO 'copy.db'"; gzip copy.db`;
  const contestants = [
    site.dropback('sqlite/dropback', 'Dropback, under a writer', true),
    site.dropback('sqlite/dropback-quiet', 'Dropback, nobody writes', false),
    site.script('sqlite/backup', 'sqlite3 .backup, gzip; under a writer', online, true),
    site.script('sqlite/backup-quiet', 'sqlite3 .backup, gzip; nobody writes', online, false),
    site.script('sqlite/vacuum', 'sqlite3 VACUUM INTO, gzip; under a writer', vacuum, true),
  ];
  const backups = await lab.takeTurns(contestants);
  const archive = await site.archive();
  const restores = [
    site.restore('sqlite/restore', 'Dropback, restore (WAL mode)', archive, 'WAL'),
    site.restore('sqlite/restore-in-place', 'Dropback, restore (not WAL)', archive, 'DELETE'),
  ];
  return [...backups, ...(await lab.takeTurns(restores))];
}

class SqliteSite {
  readonly #lab: Lab;
  readonly #bench: Bench;
  readonly #path: string;
  readonly #limit: number;
  #drops = 0;

  constructor(lab: Lab, bench: Bench, path: string, limit: number) {
    this.#lab = lab;
    this.#bench = bench;
    this.#path = path;
    this.#limit = limit;
  }

  dropback(id: string, name: string, isWritten: boolean): Contestant {
    const run = () =>
      this.#beside(isWritten, async () => {
        await using bench = await Bench.create();
        return await backUpOnce(this.#lab.program, bench, { DATABASE_URL: this.#url });
      });
    return { id, name, run };
  }

  script(id: string, name: string, script: string, isWritten: boolean): Contestant {
    const run = () =>
      this.#beside(isWritten, async () => {
        const cwd = await this.#lab.fresh('script');
        const environment = { DATABASE: this.#path };
        const seconds = await timeShell(script, { cwd, environment, limit: this.#limit });
        const bytes = await bytesIn(cwd);
        await this.#lab.fresh('script');
        if (seconds !== undefined) return { seconds, bytes };
        return { seconds: this.#limit, facts: { gaveUp: 1 } };
      });
    return { id, name, run };
  }

  /** Path of a backup of ours. */
  async archive(): Promise<string> {
    const told = { args: ['--once'] };
    const listed = startProgram(this.#lab.program, 'db-backup', this.#environment, told);
    await listed.exited;
    const [manifest] = await this.#bench.manifests();
    if (!manifest) throw new Error(`there is no backup:\n${listed.output}`);
    return this.#bench.archivePath(manifest);
  }

  /** Into the live file, which nobody has open: the application is stopped by then. */
  restore(id: string, name: string, archive: string, journalMode: 'WAL' | 'DELETE'): Contestant {
    const run = async () => {
      // A restore leaves the live file in the mode that it had.
      await timeShell(`sqlite3 ${quote(this.#path)} 'PRAGMA journal_mode=${journalMode}'; sync`);
      const gigabytes = (await stat(this.#path)).size / 1e9;
      await using daemon = startProgram(this.#lab.program, 'db-restore', this.#environment);
      await daemon.says(/watching for drops/);
      this.#drops += 1;
      const drop = `drop-${this.#drops}-${basename(archive)}`;
      await this.#bench.drop(archive, drop);
      const look = () => this.#bench.report(drop);
      const report = await daemon.until(`a report on ${drop}`, look, 120_000 + this.#limit * 2000);
      if (report.outcome !== 'restored') throw new Error(JSON.stringify(report));
      const steps = report.steps.map((step) => [step.name, step.durationMs / 1000] as const);
      const facts = Object.fromEntries(steps);
      // Without containers the swap is all the time for which the file can't be used.
      const downtime = facts['swap'] ?? 0;
      const perGb = journalMode === 'WAL' ? {} : { downtimePerGb: downtime / gigabytes };
      return { seconds: report.durationMs / 1000, facts: { ...facts, downtime, ...perGb } };
    };
    return { id, name, run };
  }

  get #environment(): Record<string, string> {
    return this.#bench.environment({ DATABASE_URL: this.#url });
  }

  get #url(): string {
    return `sqlite:///${this.#path}`;
  }

  async #beside(isWritten: boolean, work: () => Promise<Sample>): Promise<Sample> {
    await timeShell(`sqlite3 ${quote(this.#path)} 'PRAGMA wal_checkpoint(TRUNCATE)'; sync`);
    if (!isWritten) return await work();
    const script = fileURLToPath(new URL('../sqlite-writer.ts', import.meta.url));
    const command = [process.execPath, '--disable-warning=ExperimentalWarning', script];
    await using writer = new Daemon('db-backup', {}, [this.#path], command);
    await writer.says(/writing/);
    const sample = await work();
    await writer.stop();
    const told = JSON.parse(writer.lines.at(-1) ?? '{}') as { longestMs?: number };
    return {
      ...sample,
      facts: { ...sample.facts, blocked: (told.longestMs ?? Number.NaN) / 1000 },
    };
  }
}
