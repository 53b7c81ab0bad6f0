import { describe, expect, test } from 'vitest';
import { servers } from '../support/testbed.ts';
import { CommitCutter } from './postgres-commit-cutter.ts';
import { RestoreBed } from './postgres-restore-bed.ts';

describe.each(servers)('a COMMIT without an answer on PostgreSQL $major', (server) => {
  test.each(['before-commit', 'after-commit'] as const)('is resolved: cut %s', async (fault) => {
    await using bed = await RestoreBed.create(server);
    await using cutter = await CommitCutter.listen(server);
    await bed.sql('CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
    const drop = await bed.dump('postgres-custom', bed.live);
    await bed.sql('INSERT INTO t VALUES (2)');
    const connection = bed.connection({ host: '127.0.0.1', port: cutter.port, sslMode: 'disable' });
    const database = { kind: 'postgres' as const, connection, maintenanceDatabase: 'postgres' };
    const engine = bed.engine({ database });
    cutter.fault = fault;
    const { swap, state } = await bed.restore(engine, drop);
    expect(cutter.cuts).toBe(1);
    expect(await bed.value('SELECT count(*) FROM public.t')).toBe('1');
    expect(swap.previous?.bytes).toBeGreaterThan(1_000_000);
    expect(await engine.outcome(state, bed.context().signal)).toBe('swapped');
    expect(await bed.leftovers()).toEqual([]);
  });
});
