import { expect, test } from 'vitest';
import { wireBackup } from '../../src/backup/wire.ts';
import { parseBackupConfig } from '../../src/core/config/backup.ts';
import { openBackupEngine } from '../../src/core/engines/open-backup-engine.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { systemClock } from '../../src/core/runtime/clock.ts';
import { Turnstile } from '../../src/core/runtime/turnstile.ts';
import { SqliteStack } from '../support/sqlite-stack.ts';

const LONG = { timeout: 120_000 };

test('a database that is being restored holds up the backup of no other', {
  timeout: 300_000,
}, async () => {
  await using resources = new AsyncDisposableStack();
  const log = silentLogger();
  const turnstile = new Turnstile(1, 3_600_000, systemClock);
  const ending = new AbortController();
  const never = new AbortController().signal;
  const begin = async () => {
    const stack = resources.use(await SqliteStack.create());
    const config = parseBackupConfig(stack.environment());
    const engine = resources.use(
      await openBackupEngine(config.database, { clock: systemClock, log }),
    );
    const { daemon } = resources.use(await wireBackup(config, log, undefined, turnstile));
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
