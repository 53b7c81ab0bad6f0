import { dirname, join } from 'node:path';
import { type Alerting, openAlerts, type SharedAlerts } from '../core/alerts/open-alerts.ts';
import type { RestoreConfig } from '../core/config/config.ts';
import { journalPlace } from '../core/config/restore-places.ts';
import { Application } from '../core/containers/application.ts';
import { DockerRuntime } from '../core/containers/docker.ts';
import type { ReservedAddress } from '../core/containers/reserved.ts';
import type { ContainerRuntime } from '../core/containers/runtime.ts';
import { type ContainerTurns, takingTurns } from '../core/containers/turns.ts';
import { identityChecks } from '../core/encryption/encryption-checks.ts';
import type { CheckResult } from '../core/engines/engine.ts';
import { openRestoreEngine } from '../core/engines/open-restore-engine.ts';
import type { Logger } from '../core/observability/log.ts';
import { systemClock } from '../core/runtime/clock.ts';
import type { Turnstile } from '../core/runtime/turnstile.ts';
import { Catalogue } from '../core/stores/catalogue.ts';
import { openStores } from '../core/stores/open-stores.ts';
import { RestoreDaemon } from './daemon.ts';
import { folderChecks } from './drop-folder/folder-checks.ts';
import { foldersOf } from './drop-folder/folders.ts';
import type { InstanceLock } from './instance-lock.ts';
import type { ApplicationControl, BackupCatalogue } from './parts.ts';

export interface WiredRestore extends AsyncDisposable {
  readonly daemon: RestoreDaemon;
  /** Undefined where nobody is told: the command line's caller sees for himself. */
  readonly alerting: Alerting | undefined;
  /** What db-restore needs, by real calls. */
  checks(signal: AbortSignal): Promise<CheckResult[]>;
}

/** What several databases' daemons share in one process. */
export interface SharedParts {
  readonly runtime: ContainerRuntime;
  readonly turns: ContainerTurns;
  readonly lock: InstanceLock;
  /** How many of them begin at the same time. */
  readonly starts: Turnstile;
  readonly alerts: SharedAlerts;
}

/** The one place where db-restore's parts are put together. `tells`: for the daemon. */
export async function wireRestore(
  config: RestoreConfig,
  log: Logger,
  { tells, shared }: { readonly tells: boolean; readonly shared?: SharedParts },
): Promise<WiredRestore> {
  const clock = systemClock;
  const engine = await openRestoreEngine(config, { clock, log });
  const { local, remote } = await openStores(config, { log, clock, readOnly: true });
  const runtime = shared?.runtime ?? new DockerRuntime(config.containers.dockerHost, clock);
  const application = new Application(
    runtime,
    config.containers,
    clock,
    log,
    undefined,
    reservedAddresses(config),
  );
  const catalogue = catalogueFor(new Catalogue(local, remote, clock));
  const alerting = tells
    ? openRestoreAlerts(config, engine.description, log, shared?.alerts)
    : undefined;
  return {
    daemon: new RestoreDaemon({
      config,
      engine,
      ...(shared ? sharing(application, shared) : { application }),
      catalogue,
      hooks: config.hooks,
      secrets: config.alerts.secrets,
      ...(alerting ? { alerts: alerting.alerts, onAlone: () => alerting.begin() } : {}),
      clock,
      log,
    }),
    alerting,
    async checks(signal) {
      const found = await Promise.all([
        engine.checks(signal),
        identityChecks(config.ageIdentity, signal),
        application.checks(signal),
        folderChecks(foldersOf(config), signal),
        remote?.checks(signal) ?? [],
      ]);
      return found.flat();
    },
    async [Symbol.asyncDispose]() {
      await alerting?.[Symbol.asyncDispose]();
      await engine[Symbol.asyncDispose]();
      await remote?.[Symbol.asyncDispose]();
    },
  };
}

function sharing(application: Application, { turns, lock, starts }: SharedParts) {
  const { turn, start } = takingTurns(application, turns);
  const control: ApplicationControl = {
    isConfigured: application.isConfigured,
    lateStopMs: application.lateStopMs,
    resolve: (signal) => application.resolve(signal),
    resolvePatiently: (signal) => application.resolvePatiently(signal),
    listed: (signal) => application.listed(signal),
    running: (names, signal) => application.running(names, signal),
    stop: (names, options) => application.stop(names, options),
    confirmStopped: (names, options) => application.confirmStopped(names, options),
    start,
  };
  const borrowed = { lost: lock.lost, async [Symbol.asyncDispose]() {} };
  return { application: control, turn, lock: borrowed, tidying: starts };
}

/** Whoever answers at these addresses has to go on while the application is stopped. */
function reservedAddresses({ database, admin, containers }: RestoreConfig): ReservedAddress[] {
  const what = 'the database';
  const connections = database.kind === 'postgres' ? [database.connection, admin] : [];
  const servers = connections.filter((one) => one !== undefined);
  const found = servers.map(({ host, port }) => ({ what, host, port }));
  if (!containers.dockerHost.startsWith('tcp:')) return found;
  const { hostname, port } = new URL(containers.dockerHost.replace(/^tcp:/, 'http:'));
  const proxy = { what: "the proxy of Docker's socket", host: hostname, port: Number(port || 80) };
  return [...found, proxy];
}

function catalogueFor(catalogue: Catalogue): BackupCatalogue {
  return {
    findBySha256: (sha256, signal) => catalogue.findBySha256(sha256, signal),
    async fetch(id, destination, signal) {
      const entry = await catalogue.find(id, signal);
      await catalogue.fetch(entry, destination, signal);
      return entry.manifest;
    },
  };
}

function openRestoreAlerts(
  config: RestoreConfig,
  database: string,
  log: Logger,
  shared: SharedAlerts | undefined,
): Alerting {
  return openAlerts(config.alerts, {
    file: join(dirname(journalPlace(config)), 'alerts.json'),
    source: { program: 'db-restore', name: config.name, database },
    clock: systemClock,
    log,
    ...(shared ? { shared } : {}),
  });
}
