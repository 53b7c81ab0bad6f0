import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, test, vi } from 'vitest';
import { Application } from '../../src/core/containers/application.ts';
import { DockerRuntime } from '../../src/core/containers/docker.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { RequestClient } from '../../src/core/requests/client.ts';
import { systemClock } from '../../src/core/runtime/clock.ts';
import { RestoreDaemon } from '../../src/restore/daemon.ts';
import { sampleManifest } from '../support/backups.ts';
import { politely, stubbornly, TestContainers } from '../support/containers.ts';
import { Bench, type Daemon } from '../support/daemon.ts';
import { FileEngine } from '../support/restore/file-engine.ts';
import { script } from '../support/restore/world.ts';
import { SqliteStack } from '../support/sqlite-stack.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { testbed } from '../support/testbed.ts';

/** A stack whose live database has had three rows when it was backed up, and has four now. */
async function prepare(): Promise<{ stack: SqliteStack; archive: string }> {
  const stack = await SqliteStack.create();
  expect(await stack.run('db-backup', ['--once'])).toMatchObject({ code: 0 });
  const [manifest] = await stack.bench.manifests();
  if (!manifest) throw new Error('nothing is listed');
  stack.sql('INSERT INTO t VALUES (4)');
  return { stack, archive: stack.bench.archivePath(manifest) };
}

async function restored(stack: SqliteStack, daemon: Daemon, archive: string, name: string) {
  await stack.bench.drop(archive, name);
  return await daemon.until(`a report on ${name}`, () => stack.bench.report(name));
}

async function stateOf(containers: TestContainers, name: string) {
  const { State } = await containers.docker.getContainer(name).inspect();
  return { running: State.Running, startedAt: State.StartedAt, finishedAt: State.FinishedAt };
}

/** A daemon that gives health checks two seconds; the database is a file. */
function briefDaemon(bench: Bench, { host, project }: TestContainers, name: string) {
  const log = silentLogger();
  const runtime = new DockerRuntime(host, systemClock);
  const containers = { dockerHost: host, project, stop: [name], start: [], stopGraceSeconds: 5 };
  const application = new Application(runtime, containers, systemClock, log, undefined);
  const start: Application['start'] = (names, options) =>
    application.start(names, { ...options, healthTimeoutMs: 2000 });
  return new RestoreDaemon({
    config: {
      watchDir: bench.path('restore', 'incoming'),
      stateFile: bench.path('restore', 'state.json'),
      pollIntervalMs: 500,
      settleMs: 1000,
      stopFirst: false,
      keepPreviousMs: 3_600_000,
      waitForBackupMs: 1000,
    },
    engine: new FileEngine(bench.path('data', 'app.db')),
    application: {
      isConfigured: true,
      resolve: (signal) => application.resolve(signal),
      resolvePatiently: (signal) => application.resolvePatiently(signal),
      listed: (signal) => application.listed(signal),
      running: (names, signal) => application.running(names, signal),
      stop: (names, options) => application.stop(names, options),
      confirmStopped: (names, options) => application.confirmStopped(names, options),
      start,
      lateStopMs: application.lateStopMs,
    },
    catalogue: {
      findBySha256: async () => undefined,
      fetch: async (_, destination) => {
        await writeFile(destination, script('from_backup'));
        const manifest = sampleManifest(new Uint8Array());
        return { ...manifest, archive: { ...manifest.archive, file: `${manifest.id}.sql` } };
      },
    },
    clock: systemClock,
    log,
  });
}

// Generous: other test files load the machine.
vi.setConfig({ testTimeout: 240_000 });

describe.skipIf(!testbed.docker)('containers around a restore', () => {
  const told = (containers: TestContainers, extra: Record<string, string>) => ({
    DOCKER_HOST: containers.host,
    DROPBACK_PROJECT: containers.project,
    RESTORE_STOP_TIMEOUT: '10',
    ...extra,
  });

  test('names, services and labels: what ran is stopped in order and started in reverse', async () => {
    await using containers = new TestContainers();
    const web = await containers.create('web');
    const first = await containers.create('worker-1');
    const second = await containers.create('worker-2');
    const idle = await containers.create('worker-3', { started: false });
    const tagged = await containers.create('cron', { labels: { 'org.example.role': 'batch' } });
    const extra = await containers.create('extra', { started: false });
    const other = await containers.create('bystander');
    const before = await stateOf(containers, other);
    const { stack, archive } = await prepare();
    await using _ = stack;
    const daemon = await stack.restoreDaemon(
      told(containers, {
        RESTORE_STOP_CONTAINERS: `${web}, service:worker, label:org.example.role=batch`,
        RESTORE_START_CONTAINERS: extra,
      }),
    );
    const report = await restored(stack, daemon, archive, 'one.db.zst');
    expect(report, JSON.stringify(report)).toMatchObject({
      outcome: 'restored',
      stopped: [web, first, second, tagged],
      warnings: [],
    });
    expect(report.downtimeMs).toBeGreaterThan(0);
    expect(stack.rows()).toBe('1,2,3');

    const states = new Map(
      await Promise.all(
        [web, first, second, tagged, extra, idle].map(
          async (name) => [name, await stateOf(containers, name)] as const,
        ),
      ),
    );
    const started = [web, first, second, tagged].map((name) => states.get(name)?.startedAt ?? '');
    expect(started).toEqual(started.toSorted().toReversed());
    const finished = [web, first, second, tagged].map((name) => states.get(name)?.finishedAt ?? '');
    expect(finished).toEqual(finished.toSorted());
    expect(states.get(extra)?.running).toBe(true);
    expect(states.get(idle)?.running).toBe(false);
    expect(await stateOf(containers, other)).toEqual(before);
  });

  test('a bad dump costs no downtime: no container is touched', async () => {
    await using containers = new TestContainers();
    const web = await containers.create('web');
    const before = await stateOf(containers, web);
    const { stack, archive } = await prepare();
    await using _ = stack;
    const daemon = await stack.restoreDaemon(
      told(containers, { RESTORE_STOP_CONTAINERS: web, RESTORE_SETTLE_SECONDS: '1' }),
    );
    for (const [name, change] of [
      ['empty.db', () => Buffer.alloc(0)],
      ['noise.db', () => Buffer.from('SQLite format 3\0 and then nothing of the kind')],
      ['cut.db.zst', (whole: Buffer) => whole.subarray(0, whole.length / 2)],
    ] as const) {
      const bad = stack.bench.path(`bad-${name}`);
      await writeFile(bad, change(await readFile(archive)));
      const report = await restored(stack, daemon, bad, name);
      expect(report, JSON.stringify(report)).toMatchObject({ outcome: 'refused' });
    }
    expect(stack.rows()).toBe('1,2,3,4');
    expect(await stateOf(containers, web)).toEqual(before);
  });

  test('a container that ignores SIGTERM is killed after its grace', async () => {
    await using containers = new TestContainers();
    const web = await containers.create('web', { script: stubbornly });
    const { stack, archive } = await prepare();
    await using _ = stack;
    const daemon = await stack.restoreDaemon(
      told(containers, { RESTORE_STOP_CONTAINERS: web, RESTORE_STOP_TIMEOUT: '1' }),
    );
    const before = await stateOf(containers, web);
    const report = await restored(stack, daemon, archive, 'one.db.zst');
    expect(report, JSON.stringify(report)).toMatchObject({ outcome: 'restored', stopped: [web] });
    const after = await stateOf(containers, web);
    expect(after.running).toBe(true);
    expect(after.startedAt > before.startedAt).toBe(true);
  });

  test('one that comes back unhealthy is a warning, and exit code 4', async () => {
    await using containers = new TestContainers();
    await using bench = await Bench.create();
    // Healthy the first time it runs, never again.
    const script = `if [ -e /been ]; then rm -f /well; else touch /been /well; fi; ${politely}`;
    const web = await containers.create('web', { script, health: 'test -e /well' });
    const ended = new AbortController();
    const running = briefDaemon(bench, containers, web).run(ended.signal);
    try {
      const client = new RequestClient(bench.path('restore', 'requests'), systemClock);
      const { signal } = ended;
      const wanted = { kind: 'restore', backupId: 'latest' } as const;
      const id = await vi.waitFor(() => client.submit(wanted, signal), 10_000);
      const result = await client.follow(id, { signal, takenWithinMs: 20_000 });
      expect(result, JSON.stringify(result)).toMatchObject({
        exitCode: 4,
        report: { outcome: 'restored', needsAttention: true },
      });
      expect(result.report?.warnings.join()).toContain(`${web} runs, but`);
      expect((await stateOf(containers, web)).running).toBe(true);
    } finally {
      ended.abort();
      await running;
    }
  });

  test('a name that does not exist is told, restores wait for it, and then go on', async () => {
    await using containers = new TestContainers();
    const near = await containers.create('web-app');
    const { stack, archive } = await prepare();
    await using _ = stack;
    const { port } = await TcpProxy.reserve({ host: '127.0.0.1', port: 1 });
    const daemon = await stack.restoreDaemon(
      told(containers, {
        RESTORE_STOP_CONTAINERS: containers.name('web'),
        HEALTH_PORT: String(port),
      }),
    );
    const line = await daemon.says(/restores wait for the configured containers/);
    expect(line).toContain('containers/not-found');
    expect(line).toContain(near);
    const health = () => fetch(`http://127.0.0.1:${port}/healthz`);
    expect((await health()).status).toBe(503);
    await stack.bench.drop(archive, 'one.db.zst');
    const asked = stack.start('dropback', ['restore', 'latest']);
    await asked.says(/waiting: no container matches/);
    expect(stack.rows()).toBe('1,2,3,4');
    expect(await stack.bench.files('restore', 'incoming')).toContain('one.db.zst');

    const web = await containers.create('web');
    expect(await asked.exited, asked.output).toMatchObject({ code: 0 });
    const report = await daemon.until('a report', () => stack.bench.report('one.db.zst'));
    expect(report).toMatchObject({ outcome: 'restored', stopped: [web] });
    expect((await health()).status).toBe(200);
    expect(stack.rows()).toBe('1,2,3');
  });
});
