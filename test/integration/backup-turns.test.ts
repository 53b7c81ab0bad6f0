import { expect, test } from 'vitest';
import { wireBackup } from '../../src/backup/wire.ts';
import { FloodGates } from '../../src/core/alerts/flood.ts';
import { parseBackupConfig } from '../../src/core/config/backup.ts';
import { openBackupEngine } from '../../src/core/engines/open-backup-engine.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { systemClock } from '../../src/core/runtime/clock.ts';
import { Turnstile } from '../../src/core/runtime/turnstile.ts';
import { TestPrefix } from '../support/s3.ts';
import { SqliteStack, s3Environment } from '../support/sqlite-stack.ts';
import { testbed } from '../support/testbed.ts';

const LONG = { timeout: 120_000 };

test('a database that is being restored holds up the backup of no other', {
  timeout: 300_000,
}, async () => {
  await using resources = new AsyncDisposableStack();
  const log = silentLogger();
  const turn = () => new Turnstile(1, 3_600_000, systemClock);
  const shared = {
    turns: { dumps: turn(), rehearsals: turn(), uploads: turn() },
    alerts: { floods: new FloodGates() },
  };
  const ending = new AbortController();
  const never = new AbortController().signal;
  const begin = async () => {
    const stack = resources.use(await SqliteStack.create());
    const config = parseBackupConfig(stack.environment());
    const engine = resources.use(
      await openBackupEngine(config.database, { clock: systemClock, log }),
    );
    const { daemon } = resources.use(await wireBackup(config, log, undefined, shared));
    return { stack, engine, daemon, backups: async () => (await stack.bench.manifests()).length };
  };
  const restored = await begin();
  const other = await begin();
  const lock = await restored.engine.lock({ purpose: 'restore', waitMs: 0 }, never);
  const serving = [restored.daemon.serve(ending.signal)];
  try {
    // It is its turn, and it waits for the restore.
    await expect.poll(() => restored.daemon.status().state, LONG).toBe('running');
    serving.push(other.daemon.serve(ending.signal));
    await expect.poll(other.backups, LONG).toBeGreaterThan(0);
    expect(await restored.backups()).toBe(0);
    await lock[Symbol.asyncDispose]();
    await expect.poll(restored.backups, LONG).toBeGreaterThan(0);
  } finally {
    await lock[Symbol.asyncDispose]();
    ending.abort();
    await Promise.all(serving);
  }
});

test('a rehearsal and an upload wait for their turns among several databases', {
  timeout: 300_000,
}, async () => {
  await using resources = new AsyncDisposableStack();
  const turn = () => new Turnstile(1, 3_600_000, systemClock);
  const turns = { dumps: turn(), rehearsals: turn(), uploads: turn() };
  const ending = new AbortController();
  // Another database's, which take their time.
  const [rehearsal, upload] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const others = [
    turns.rehearsals.pass(() => rehearsal.promise, ending.signal),
    turns.uploads.pass(() => upload.promise, ending.signal),
  ];
  const stack = resources.use(await SqliteStack.create());
  const prefix = resources.use(new TestPrefix());
  if (!testbed.s3) throw new Error('the test bed has no S3 endpoint');
  const environment = { BACKUP_VERIFY: 'restore', ...s3Environment(testbed.s3, prefix.prefix) };
  const config = parseBackupConfig(stack.environment(environment));
  const { daemon } = resources.use(
    await wireBackup(config, silentLogger(), undefined, {
      turns,
      alerts: { floods: new FloodGates() },
    }),
  );
  const serving = daemon.serve(ending.signal);
  const rehearsed = () => daemon.status().verification;
  try {
    await expect.poll(() => rehearsed()?.state, LONG).toBe('waiting for its turn');
    expect(rehearsed()?.lastGood).toBeUndefined();
    expect(daemon.status().uploadBacklog).toBe(1);
    rehearsal.resolve();
    await expect.poll(() => rehearsed()?.lastGood?.status, LONG).toBe('ok');
    await expect.poll(() => rehearsed()?.state, LONG).toBe('idle');
    expect(daemon.status().uploadBacklog).toBe(1);
    upload.resolve();
    await expect.poll(() => daemon.status().uploadBacklog, LONG).toBe(0);
  } finally {
    rehearsal.resolve();
    upload.resolve();
    ending.abort();
    await Promise.all([serving, ...others]);
  }
});
