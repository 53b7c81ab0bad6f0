import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { TestContainers } from '../../../test/support/containers.ts';
import { Bench, type Daemon } from '../../../test/support/daemon.ts';
import { METHODS_SINCE } from '../contestants.ts';
import { DATABASE, type Lab } from '../lab.ts';
import type { BenchServer } from '../postgres-server.ts';
import { residentMb } from '../process-facts.ts';
import { backUpOnce, startProgram } from '../product.ts';
import type { Contestant, Sample, Series } from '../series.ts';
import { runShell } from '../shell.ts';

const run = promisify(execFile);

/** For so long a drop has to stay unchanged; a `.gz` is read to its end behind that, before its claim. */
const SETTLE_SECONDS = 1;

/** A restore may take so long for each megabyte of the database; it is no measurement. */
const PATIENCE_MS_PER_MB = 1000;

/** An application in a container is stopped and started again on both sides. */
export async function restoreGroup(lab: Lab): Promise<Series[]> {
  const { docker } = lab;
  if (!docker) {
    lab.leaveOut('restore: there is no Docker engine');
    return [];
  }
  const server = await lab.server();
  await using bench = await Bench.create();
  await using containers = new TestContainers();
  const application = await containers.create('web');
  lab.keepTrackOf(application);
  const told = { DATABASE_URL: server.url(DATABASE), BACKUP_KEEP_LAST: '99' };
  await backUpOnce(lab.program, bench, told);
  const [manifest] = await bench.manifests();
  if (!manifest) throw new Error('there is no backup');
  const dumps = await lab.fresh('dumps');
  const environment = server.environment(DATABASE);
  if (isForeign(lab)) {
    const compression = server.major >= METHODS_SINCE ? '-Z zstd:3' : '';
    const script = `pg_dump | gzip > app.sql.gz; pg_dump -Fc ${compression} > app.dump`;
    await runShell(script, { cwd: dumps, environment });
  }
  await using daemon = startProgram(
    lab.program,
    'db-restore',
    bench.environment({
      ...told,
      DOCKER_HOST: docker.host,
      RESTORE_STOP_CONTAINERS: application,
      RESTORE_POLL_INTERVAL: '5',
    }),
  );
  await daemon.says(/watching for drops/);
  const drops = new Drops(lab, bench, daemon, application);
  const scripts = new Scripts(lab, application, dumps);
  const jobs = lab.options.jobs;
  const contestants = [
    drops.of('restore/own', 'Dropback, its own backup', bench.archivePath(manifest)),
    drops.of('restore/foreign-script', 'Dropback, a .sql.gz', join(dumps, 'app.sql.gz')),
    drops.of('restore/foreign-archive', 'Dropback, a .dump', join(dumps, 'app.dump')),
    scripts.of(
      'restore/psql',
      'stop; gunzip | psql; start',
      `psql -qXd postgres -c 'DROP DATABASE ${DATABASE}' -c 'CREATE DATABASE ${DATABASE}'
       gunzip -c app.sql.gz | psql -qX -v ON_ERROR_STOP=1 -o /dev/null`,
    ),
    scripts.of(
      'restore/pg_restore',
      `stop; pg_restore -j${jobs} --clean --if-exists; start`,
      `pg_restore -j${jobs} --clean --if-exists -d ${DATABASE} app.dump`,
    ),
  ];
  return await lab.takeTurns(contestants);
}

/** The dumps that are no backups of ours take as long as some of the measurements. */
function isForeign({ options }: Lab): boolean {
  const { contestants } = options;
  return contestants.length === 0 || contestants.some((id) => id !== 'restore/own');
}

/** Each is dropped as a careful user does, into a daemon that is already there. */
class Drops {
  readonly #lab: Lab;
  readonly #bench: Bench;
  readonly #daemon: Daemon;
  readonly #application: string;
  #count = 0;

  constructor(lab: Lab, bench: Bench, daemon: Daemon, application: string) {
    this.#lab = lab;
    this.#bench = bench;
    this.#daemon = daemon;
    this.#application = application;
  }

  of(id: string, name: string, path: string): Contestant {
    return { id, name, run: () => this.#drop(path) };
  }

  async #drop(path: string): Promise<Sample> {
    const server = await this.#lab.server();
    await server.settle();
    const extension = path.slice(path.indexOf('.', path.lastIndexOf('/')));
    this.#count += 1;
    const name = `drop-${this.#count}${extension}`;
    await this.#bench.drop(path, name);
    const dropped = Date.now();
    const patience = 120_000 + PATIENCE_MS_PER_MB * this.#lab.options.megabytes;
    const look = () => this.#bench.report(name);
    const report = await this.#daemon.until(`a report on ${name}`, look, patience);
    if (report.outcome !== 'restored') throw new Error(JSON.stringify(report));
    const steps = Object.fromEntries(
      report.steps.map((step) => [step.name, step.durationMs / 1000]),
    );
    const { 'file-away': _filing, ...untilBack } = steps;
    const noticed = (Date.parse(report.startedAt) - dropped) / 1000;
    const back = await startedAt(this.#application);
    await this.#makeRoom(server);
    return {
      seconds: (back - dropped) / 1000 - SETTLE_SECONDS,
      facts: {
        ...untilBack,
        noticed,
        residentMb: residentMb(this.#daemon.pid).most,
        downtime: (report.downtimeMs ?? Number.NaN) / 1000,
      },
    };
  }

  /** The file and the database that a user has for a day afterwards: the next one is not to find its memory full of them. */
  async #makeRoom(server: BenchServer): Promise<void> {
    for (const file of await this.#bench.files('restore', 'done')) {
      await rm(this.#bench.path('restore', 'done', file));
    }
    const previous = "SELECT datname FROM pg_database WHERE datname LIKE 'dropback\\_p\\_%'";
    for (const database of (await server.sql(previous)).split('\n').filter(Boolean)) {
      await server.sql(`DROP DATABASE "${database}"`);
    }
  }
}

/** What a careful administrator types. */
class Scripts {
  readonly #lab: Lab;
  readonly #application: string;
  readonly #cwd: string;

  constructor(lab: Lab, application: string, cwd: string) {
    this.#lab = lab;
    this.#application = application;
    this.#cwd = cwd;
  }

  of(id: string, name: string, script: string): Contestant {
    return { id, name, run: () => this.#restore(script) };
  }

  async #restore(script: string): Promise<Sample> {
    const server = await this.#lab.server();
    await server.settle();
    const stop = await timed(() => run('docker', ['stop', this.#application]));
    const environment = server.environment(DATABASE);
    const downtime = await runShell(script, { cwd: this.#cwd, environment });
    const sent = Date.now();
    await run('docker', ['start', this.#application]);
    const start = ((await startedAt(this.#application)) - sent) / 1000;
    return { seconds: stop + downtime + start, facts: { stop, downtime, start } };
  }
}

/** Since when the engine has the container running, in milliseconds. */
async function startedAt(container: string): Promise<number> {
  const { stdout } = await run('docker', ['inspect', '-f', '{{.State.StartedAt}}', container]);
  return Date.parse(stdout.trim());
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const since = performance.now();
  await work();
  return (performance.now() - since) / 1000;
}
