import { dirname, join } from 'node:path';
import { FloodGates } from '../core/alerts/flood.ts';
import type { RestoreConfig } from '../core/config/config.ts';
import type { Databases } from '../core/config/databases.ts';
import { restorePlace } from '../core/config/restore-places.ts';
import { DockerRuntime } from '../core/containers/docker.ts';
import { ContainerTurns } from '../core/containers/turns.ts';
import { tellSameDatabases } from '../core/engines/same-database.ts';
import { createLogger, type Logger } from '../core/observability/log.ts';
import { startHealth } from '../core/observability/start-health.ts';
import { type Member, Supervisor } from '../core/observability/supervisor.ts';
import { systemClock } from '../core/runtime/clock.ts';
import { ensureFolder } from '../core/runtime/durable-files.ts';
import { Turnstile } from '../core/runtime/turnstile.ts';
import { refuseUnfinished } from './drop-folder/from-one-to-several.ts';
import { MisplacedDrops } from './drop-folder/misplaced.ts';
import { lockInstance } from './instance-lock.ts';
import { restoreReport, runRestore } from './serve.ts';
import { type SharedParts, wireRestore } from './wire.ts';

/** So many are tidied up and checked at the same time at the start: each is a process. */
const STARTED_AT_ONCE = 4;
const START_LAPSE_MS = 15_000;

/** db-restore for the databases of DATABASES_FILE, from start to SIGTERM. */
export async function serveRestores(
  { all, warnings }: Databases<RestoreConfig>,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  for (const warning of warnings) log.warn(warning);
  const [{ healthPort, watchDir, stateFile, containers }] = all;
  const clock = systemClock;
  // Before the members make theirs in them, all at once.
  for (const folder of ['incoming', 'work', 'done', 'failed', 'previous', 'requests'] as const) {
    await ensureFolder(restorePlace({ watchDir }, folder));
  }
  await ensureFolder(join(dirname(stateFile), 'state'));
  // One for all: it costs two processes.
  await using lock = await lockInstance(dirname(watchDir), clock, log, signal);
  await refuseUnfinished(
    stateFile,
    all.map(({ name }) => name),
  );
  const runtime = new DockerRuntime(containers.dockerHost, clock);
  // Not one for both: restores must not wait until all are checked.
  const checks = new Turnstile(STARTED_AT_ONCE, START_LAPSE_MS, clock);
  const starts = new Turnstile(STARTED_AT_ONCE, START_LAPSE_MS, clock);
  const alerts = { floods: new FloodGates() };
  const shared = { runtime, turns: new ContainerTurns(), lock, starts, alerts };
  const members = all.map((config) => {
    const pollIntervalMs = pollIntervalAmong(all.length, config.pollIntervalMs);
    return memberOf({ ...config, pollIntervalMs }, shared, checks);
  });
  const supervisor = new Supervisor('db-restore', members, clock);
  await using _health = await startHealth(
    healthPort,
    log,
    () => supervisor.report(),
    (name) => supervisor.reportOf(name),
  );
  const names = all.map(({ name }) => name);
  log.info({ databases: names }, 'db-restore started for several databases');
  const running = AbortSignal.any([signal, lock.lost]);
  const misplaced = new MisplacedDrops({ watchDir, names, clock, log });
  await Promise.all([
    supervisor.run(running),
    misplaced.run(running),
    tellSameDatabases(all, { clock, log }, running),
  ]);
  lock.lost.throwIfAborted();
}

/** A look at one database's folders costs about a millisecond. */
const POLL_SHARE_MS = 25;

/** RESTORE_POLL_INTERVAL, longer from 200 databases on; file events tell of most drops sooner. */
export function pollIntervalAmong(databases: number, askedMs: number): number {
  return Math.max(askedMs, databases * POLL_SHARE_MS);
}

function memberOf(config: RestoreConfig, shared: SharedParts, checks: Turnstile): Member {
  const { name } = config;
  const log = createLogger({ ...config.log, program: 'db-restore', db: name });
  return {
    name,
    log,
    async serve(signal, tell) {
      await using wired = await wireRestore(config, log, { tells: true, shared });
      tell(() => restoreReport(wired));
      await runRestore(wired, config, log, signal, checks);
    },
  };
}
