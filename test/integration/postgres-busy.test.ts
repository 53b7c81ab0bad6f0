import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { readBusyBackends } from '../../src/core/engines/postgres/restore/busy-backends.ts';
import { planLoad } from '../../src/core/engines/postgres/restore/tuning.ts';
import { servers } from '../support/testbed.ts';
import { RestoreBed } from './postgres-restore-bed.ts';

const never = new AbortController().signal;
const COMPUTING = 9;
const FOREVER = 'SELECT count(*) FROM generate_series(1, 1000000000000)';

describe.each(servers)('a load on PostgreSQL $major', (server) => {
  test('leaves processors to connections that compute', async () => {
    await using bed = await RestoreBed.create(server);
    await using session = await bed.open();
    const marked = `busy_${bed.id}`;
    const busy = Array.from({ length: COMPUTING }, async () => {
      await using other = await bed.open();
      await other.query(`SET application_name = '${marked}'`);
      await other.query(FOREVER).catch(() => {});
    });
    try {
      await expect
        .poll(() => readBusyBackends(session, never), { timeout: 20_000 })
        .toBeGreaterThanOrEqual(COMPUTING);
      const plan = await planLoad(session, undefined, never);
      expect(plan.indexWorkers).toBe(0);
      expect(plan.jobs).toBeLessThanOrEqual(Math.max(1, availableParallelism() - COMPUTING));
      expect((await planLoad(session, 3, never)).jobs).toBe(3);
    } finally {
      await session.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '${marked}'`,
      );
      await Promise.all(busy);
    }
  });

  test('takes no notice of those who wait', async () => {
    await using bed = await RestoreBed.create(server);
    await using session = await bed.open();
    const marked = `waits_${bed.id}`;
    const waiting = Array.from({ length: 20 }, async () => {
      await using other = await bed.open();
      await other.query(`SET application_name = '${marked}'`);
      await other.query('SELECT pg_sleep(600)').catch(() => {});
    });
    try {
      await sleep(500);
      // Others use the server meanwhile, though not twenty of them at a time.
      expect(await readBusyBackends(session, never)).toBeLessThan(20);
    } finally {
      await session.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '${marked}'`,
      );
      await Promise.all(waiting);
    }
  });
});
