import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { RestoreState } from '../../src/core/engines/engine.ts';
import { PostgresInPlaceEngine } from '../../src/core/engines/postgres/in-place/engine.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { systemClock } from '../../src/core/runtime/clock.ts';
import { servers } from '../support/testbed.ts';
import { never, RestoreBed } from './postgres-restore-bed.ts';

vi.setConfig({ testTimeout: 240_000, hookTimeout: 120_000 });

const SCRIPT = `--\n-- PostgreSQL database dump\n--\n
CREATE TABLE public.t (i integer);\nINSERT INTO public.t VALUES (7);
\n--\n-- PostgreSQL database dump complete\n--\n`;

const [here, there] = servers;

describe.skipIf(!here || !there)('a database of the same name on another server', () => {
  let bed: RestoreBed;
  let other: RestoreBed;
  let state: RestoreState;
  beforeAll(async () => {
    if (!here || !there) return;
    bed = await RestoreBed.create(here);
    other = await RestoreBed.create(there, bed.live);
    await bed.sql('CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
    ({ state } = await bed.restore(bed.engine(), await bed.script(SCRIPT)));
  });
  afterAll(async () => {
    await bed?.[Symbol.asyncDispose]();
    await other?.[Symbol.asyncDispose]();
  });

  test('is not the one that a restore was of', async () => {
    expect(await bed.engine().isOfLive(state)).toBe(true);
    expect(await other.engine().isOfLive(state)).toBe(false);
    const { serverId: _, ...old } = state;
    expect(await other.engine().isOfLive(old), 'journalled by an older version').toBe(true);
  });

  test('says nothing of what became of it, whatever its OIDs are', async () => {
    expect(await bed.engine().outcome(state, never)).toBe('swapped');
    const oid = await other.value('SELECT oid FROM pg_database WHERE datname = current_database()');
    const unlucky = { ...state, stagingOid: String(oid) };
    expect(await other.engine().outcome(unlucky, never)).toBe('not-swapped');
  });

  test('an upgraded server is known by what it keeps; one that is away is taken at its word', async () => {
    expect(await bed.engine().isOfLive({ ...state, serverId: '1' })).toBe(true);
    const connection = other.connection({ host: '127.0.0.1', port: 1 });
    const database = { kind: 'postgres' as const, connection, maintenanceDatabase: 'postgres' };
    expect(await other.engine({ database }).isOfLive(state)).toBe(true);
  });

  test('any role may ask which server it is', async () => {
    const connection = other.connection({ user: other.reader, password: 'pw' });
    const database = { kind: 'postgres' as const, connection, maintenanceDatabase: 'postgres' };
    expect(await other.engine({ database }).isOfLive(state)).toBe(false);
  });

  test('costs no safety dump', async () => {
    const safetyFolder = join(bed.folder, 'previous');
    await mkdir(safetyFolder);
    const id = '0123456789abcdef';
    await writeFile(join(safetyFolder, `${id}.dump`), 'all that is left');
    const database = {
      kind: 'postgres' as const,
      connection: other.connection(),
      maintenanceDatabase: 'postgres',
    };
    const engine = new PostgresInPlaceEngine({
      database,
      inPlace: true,
      safetyFolder,
      log: silentLogger(),
      clock: systemClock,
    });
    const { serverId = null, liveName = '', liveOid = null } = state;
    // 3 is the first transaction of every server, and committed.
    const inPlace = { mode: 'in-place', kind: 'restore', id, transaction: '3', archive: null };
    const ofOther: RestoreState = { engine: 'postgres', serverId, liveName, liveOid, ...inPlace };
    expect(await engine.outcome(ofOther, never)).toBe('not-swapped');
    await engine.discard(ofOther, other.context());
    expect(await readdir(safetyFolder)).toEqual([`${id}.dump`]);
  });
});
