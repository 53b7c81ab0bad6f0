import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { expect, test, vi } from 'vitest';
import type { BackupState, Verification } from '../../src/core/archive/state-file.ts';
import type { BackupStatus } from '../../src/core/requests/backup-status.ts';
import { PostgresStack } from '../support/postgres-stack.ts';
import { SqliteStack } from '../support/sqlite-stack.ts';
import { testbed } from '../support/testbed.ts';

// Generous: other test files load the machine.
vi.setConfig({ testTimeout: 240_000 });

const server = testbed.postgres18;

/** What is on the server of rehearsals of this stack. */
async function scratches(stack: PostgresStack, name: string): Promise<string[]> {
  const rows = await stack.bed.admin.query<{ name: string }>(
    "SELECT datname AS name FROM pg_database WHERE shobj_description(oid, 'pg_database') LIKE $1",
    [`%"rehearsal of ${name}"`],
  );
  return rows.map((row) => row.name);
}

async function restorations(stack: PostgresStack, name: string): Promise<Verification[]> {
  const [manifest] = await stack.bench.manifests(name);
  if (!manifest) return [];
  const path = stack.bench.path('backups', name, `${manifest.id}.state.json`);
  const text = await readFile(path, 'utf8').catch(() => undefined);
  const { verifications } = (text ? JSON.parse(text) : { verifications: [] }) as BackupState;
  return verifications.filter(({ kind }) => kind === 'restore');
}

async function kept(stack: PostgresStack, name: string): Promise<BackupStatus> {
  const path = stack.bench.path('backups', '.dropback', name, 'status.json');
  return JSON.parse(await readFile(path, 'utf8'));
}

test.skipIf(!server)(
  'db-backup restores each backup as a test; killed in the middle, it does so at the next start',
  async () => {
    if (!server) return;
    await using stack = await PostgresStack.create(server);
    await stack.bed.sql('CREATE TABLE t (id serial PRIMARY KEY); INSERT INTO t DEFAULT VALUES');
    const name = `verify-${stack.bed.id}`;
    const port = await freePort();
    const settings = { BACKUP_NAME: name, BACKUP_VERIFY: 'restore', HEALTH_PORT: String(port) };
    const slow = stack.backupDaemon([], {
      ...settings,
      BACKUP_VERIFY_SQL: 'SELECT pg_sleep(300) IS NOT NULL',
    });
    await slow.until('a scratch database', async () =>
      (await scratches(stack, name)).length > 0 ? true : undefined,
    );
    slow.kill('SIGKILL');
    await slow.exited;
    expect(await scratches(stack, name)).toHaveLength(1);
    expect(await restorations(stack, name)).toEqual([]);

    const daemon = stack.backupDaemon([], {
      ...settings,
      BACKUP_VERIFY_SQL: 'SELECT count(*) = 1 FROM t',
    });
    await daemon.says(/restored as a test, and it is whole/, 120_000);
    expect(daemon.output).toContain('removed what an unfinished rehearsal left');
    expect(await scratches(stack, name)).toEqual([]);
    expect(await restorations(stack, name)).toEqual([
      expect.objectContaining({ status: 'ok', tables: 1, rows: 1 }),
    ]);
    const status = await daemon.until('a status that says so', async () => {
      const answer = await fetch(`http://127.0.0.1:${port}/status`);
      const told = (await answer.json()) as BackupStatus & { health: string };
      return told.verification?.lastGood && told.verification.state === 'idle' ? told : undefined;
    });
    expect(status).toMatchObject({
      program: 'db-backup',
      health: 'healthy',
      verification: { lastGood: { status: 'ok', rows: 1 } },
    });
    const cli = stack.cli(['status', '--json'], settings);
    expect((await cli.exited).code, cli.output).toBe(0);
    expect(cli.output).toContain('"daemon": "running"');
    expect(cli.output).toContain('"nextRunAt"');
    await daemon.stop();
    expect((await kept(stack, name)).verification?.lastGood?.rows).toBe(1);
    // The daemon is gone, and what it knew is there.
    const later = stack.cli(['status'], settings);
    expect((await later.exited).code, later.output).toBe(4);
    expect(later.output).toContain(`does not answer on port ${port}`);
    expect(later.output).toMatch(/restored as a test .* ago/);
  },
);

test.skipIf(!server)(
  'a backup that does not pass is unhealthy; a rehearsal that cannot be done is degraded',
  async () => {
    if (!server) return;
    await using stack = await PostgresStack.create(server);
    const name = `verify-${stack.bed.id}`;
    const port = await freePort();
    const settings = { BACKUP_NAME: name, BACKUP_VERIFY: 'restore', HEALTH_PORT: String(port) };
    const away = { BACKUP_VERIFY_URL: 'postgresql://postgres@127.0.0.1:1' };
    const health = async () => {
      const answer = await fetch(`http://127.0.0.1:${port}/status`).catch(() => undefined);
      return ((await answer?.json()) as { health: string } | undefined)?.health;
    };

    const once = stack.backupDaemon(['--once'], { ...settings, ...away });
    expect((await once.exited).code, once.output).toBe(1);
    expect(once.output).toContain('backup/not-rehearsed');
    expect(await restorations(stack, name)).toMatchObject([{ status: 'inconclusive' }]);
    const by = stack.cli(['verify', '--restore'], { ...settings, ...away });
    expect((await by.exited).code, by.output).toBe(75);
    {
      await using daemon = stack.backupDaemon([], { ...settings, ...away });
      await daemon.until('degraded', async () =>
        (await health()) === 'degraded' ? true : undefined,
      );
      expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
    }
    const wrong = { ...settings, BACKUP_VERIFY_SQL: 'SELECT false' };
    await using daemon = stack.backupDaemon([], wrong);
    await daemon.until('unhealthy', async () =>
      (await health()) === 'unhealthy' ? true : undefined,
    );
    expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(503);
    expect(daemon.output).toContain('verify/assertion-failed');
    expect(await restorations(stack, name)).toMatchObject([{ status: 'failed' }]);
    expect(await scratches(stack, name)).toEqual([]);
  },
);

test('BACKUP_VERIFY_CRON: at its times, whether there is a new backup or not', async () => {
  await using stack = await SqliteStack.create();
  const daemon = stack.start('db-backup', [], {
    BACKUP_VERIFY: 'restore',
    BACKUP_VERIFY_CRON: '*/2 * * * * *',
    BACKUP_VERIFY_SQL: 'SELECT count(*) = 3 FROM t',
  });
  await daemon.until('two rehearsals', () => {
    const told = daemon.lines.filter((line) => line.includes('restored as a test'));
    return told.length >= 2 ? true : undefined;
  });
  expect(await stack.bench.manifests()).toHaveLength(1);
  await daemon.stop();
});

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });
}
