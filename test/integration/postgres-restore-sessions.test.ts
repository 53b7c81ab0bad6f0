import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { describe, expect, test } from 'vitest';
import type { UnpackedDrop } from '../../src/core/archive/unpacked.ts';
import type { RestoreState } from '../../src/core/engines/engine.ts';
import type { PostgresRestoreEngine } from '../../src/core/engines/postgres/restore/engine.ts';
import { systemClock } from '../../src/core/runtime/clock.ts';
import { PgBouncer } from '../support/pgbouncer.ts';
import { servers, type TestServer } from '../support/testbed.ts';
import { ident, RestoreBed } from './postgres-restore-bed.ts';

/** A live database with one row more than its dump has. */
async function prepare(bed: RestoreBed): Promise<UnpackedDrop> {
  await bed.sql(`CREATE TABLE t (i int); ALTER TABLE t OWNER TO ${bed.owner};
    GRANT ALL ON t TO ${bed.app}; INSERT INTO t VALUES (1)`);
  const drop = await bed.dump('postgres-custom', bed.live);
  await bed.sql('INSERT INTO t VALUES (2)');
  return drop;
}

const rows = (bed: RestoreBed) => bed.value('SELECT count(*) FROM public.t');

/** An engine whose control is this role. */
function as(bed: RestoreBed, user: string): PostgresRestoreEngine {
  const connection = bed.connection({ user, password: 'pw' });
  const database = { kind: 'postgres' as const, connection, maintenanceDatabase: 'postgres' };
  return bed.engine({ database });
}

/** Control as the live database's owner, no superuser, with what a restore needs besides. */
async function asOwner(bed: RestoreBed): Promise<PostgresRestoreEngine> {
  await bed.admin.query(`ALTER ROLE ${bed.owner} CREATEDB CREATEROLE`);
  return as(bed, bed.owner);
}

/** Loaded beside the live database; what is left before the stop is the check. */
async function staged(bed: RestoreBed, engine: PostgresRestoreEngine, drop: UnpackedDrop) {
  const context = bed.context();
  const inspection = await engine.inspect(drop, context);
  const plan = await engine.plan(inspection, { kind: 'live' }, context);
  const state = await engine.stage(plan, drop, inspection, context);
  return { state, check: () => engine.check(state, inspection, context) };
}

async function undone(bed: RestoreBed, engine: PostgresRestoreEngine, state: RestoreState) {
  await engine.discard(state, bed.context());
  expect(await bed.leftovers()).toEqual([]);
  expect(await rows(bed)).toBe('2');
}

async function prepareTransaction(bed: RestoreBed): Promise<string> {
  const gid = `test_${bed.id}`;
  await using session = await bed.open();
  await session.query('BEGIN');
  await session.query('INSERT INTO public.t VALUES (9)');
  await session.query(`PREPARE TRANSACTION '${gid}'`);
  return gid;
}

async function rollBackPrepared(bed: RestoreBed, gid: string): Promise<void> {
  await using session = await bed.open();
  await session.query(`ROLLBACK PREPARED '${gid}'`);
}

describe.each(servers)('who is connected to the live database of PostgreSQL $major', (server) => {
  test('other roles are sent away by a control role with pg_signal_backend alone', async () => {
    await using bed = await RestoreBed.create(server);
    const drop = await prepare(bed);
    const engine = await asOwner(bed);
    await bed.admin.query(`GRANT pg_signal_backend TO ${bed.owner}`);
    await using idle = await bed.open(bed.live, bed.reader);
    await idle.query('BEGIN');
    await bed.restore(engine, drop);
    expect(await rows(bed)).toBe('1');
    expect(idle.lost.aborted).toBe(true);
  });

  test('who may not be sent away, and came while it was loaded, is refused before the stop', async () => {
    await using bed = await RestoreBed.create(server);
    const drop = await prepare(bed);
    const engine = await asOwner(bed);
    const { state, check } = await staged(bed, engine, drop);
    await using foreign = await bed.open(bed.live, bed.reader);
    await foreign.query('SELECT 1');
    await expect(check()).rejects.toMatchObject({
      code: 'drop/not-possible-here',
      message: expect.stringContaining(bed.reader),
      hint: expect.stringContaining(`GRANT pg_signal_backend TO ${ident(bed.owner)};`),
    });
    await undone(bed, engine, state);
    await bed.admin.query(`GRANT pg_signal_backend TO ${bed.owner}`);
    const again = await staged(bed, engine, drop);
    await using superuser = await bed.open();
    await superuser.query('SELECT 1');
    await expect(again.check()).rejects.toMatchObject({
      code: 'drop/not-possible-here',
      message: expect.stringContaining('the superuser postgres'),
      hint: expect.stringContaining('RESTORE_ADMIN_URL'),
    });
    await superuser[Symbol.asyncDispose]();
    await undone(bed, engine, again.state);
  });

  test('a transaction prepared while it was loaded is refused before the stop, by an undo too', async () => {
    await using bed = await RestoreBed.create(server);
    const drop = await prepare(bed);
    const engine = bed.engine();
    const { state, check } = await staged(bed, engine, drop);
    const gid = await prepareTransaction(bed);
    const refused = {
      message: expect.stringContaining(gid),
      hint: expect.stringContaining('ROLLBACK'),
    };
    await expect(check()).rejects.toMatchObject({ ...refused, code: 'drop/not-possible-here' });
    await engine.discard(state, bed.context());
    await rollBackPrepared(bed, gid);
    const { swap } = await bed.restore(engine, drop);
    const { previous } = swap;
    if (!previous) throw new Error('nothing was kept');
    await prepareTransaction(bed);
    await expect(engine.planUndo(previous, bed.context())).rejects.toMatchObject({
      ...refused,
      code: 'request/not-possible-here',
    });
    await rollBackPrepared(bed, gid);
    expect(await rows(bed)).toBe('1');
  });

  test('time-outs set on the database and on the role reach no session of ours', async () => {
    await using bed = await RestoreBed.create(server);
    const control = await bed.role(`test_control_${bed.id}`, 'SUPERUSER');
    await bed.sql(`CREATE TABLE t (i int PRIMARY KEY, x text); ALTER TABLE t OWNER TO ${bed.owner};
      INSERT INTO t SELECT i, repeat(md5(i::text), 8) FROM generate_series(1, 4000) i;
      CREATE INDEX ON t (x)`);
    const drop = await bed.dump('postgres-custom', bed.live);
    await bed.sql('INSERT INTO t VALUES (0)');
    const timeouts = [
      ['statement_timeout', '5ms'],
      ['lock_timeout', '1ms'],
      ['idle_in_transaction_session_timeout', '5ms'],
      ['idle_session_timeout', '3s'],
      ...(server.major >= 17 ? [['transaction_timeout', '3s']] : []),
    ];
    for (const [name, value] of timeouts) {
      await bed.admin.query(`ALTER DATABASE ${bed.live} SET ${name} = '${value}'`);
      await bed.admin.query(`ALTER ROLE ${control} SET ${name} = '${value}'`);
    }
    const engine = as(bed, control);
    await bed.restore(engine, drop);
    const trusted = { ...drop, manifest: await manifestOf(bed) };
    await bed.restore(engine, trusted as UnpackedDrop);
    for (const [name] of timeouts) {
      await bed.admin.query(`ALTER DATABASE ${bed.live} RESET ${name}`);
    }
    expect(await rows(bed)).toBe('4000');
    expect(await bed.leftovers()).toEqual([]);
  });
});

/** Where PostgreSQL's own consumer of a logical slot is installed. */
const withConsumer = servers.filter(({ binDir }) => existsSync(join(binDir, 'pg_recvlogical')));

describe.each(withConsumer)('what else holds the live database of PostgreSQL $major', (server) => {
  test('one prepared after the check: the swap gives up, says why, and the live one stays', async () => {
    await using bed = await RestoreBed.create(server);
    const drop = await prepare(bed);
    // Time runs ten times as fast: the swap gives up after three seconds instead of thirty.
    const clock = { ...systemClock, monotonic: () => systemClock.monotonic() * 10 };
    const engine = bed.engine({ clock });
    const { state, check } = await staged(bed, engine, drop);
    await check();
    const gid = await prepareTransaction(bed);
    await expect(engine.swap(state, bed.context())).rejects.toMatchObject({
      code: 'restore/database-in-use',
      message: expect.stringContaining(gid),
    });
    await rollBackPrepared(bed, gid);
    await undone(bed, engine, state);
  });

  test('slots in use, subscriptions, open transactions and poolers: the swap completes', async () => {
    await using bed = await RestoreBed.create(server);
    await using pooler = await PgBouncer.start(server, bed.live);
    const drop = await prepare(bed);
    await bed.sql('CREATE PUBLICATION p FOR TABLE t');
    const slot = `test_${bed.id}`;
    await bed.sql(`SELECT pg_create_logical_replication_slot('${slot}', 'test_decoding')`);
    const off = 'connect = false, enabled = false, create_slot = false, slot_name = NONE';
    await bed.sql(
      `CREATE SUBSCRIPTION s_${bed.id} CONNECTION 'dbname=x' PUBLICATION x WITH (${off})`,
    );
    await using open = await bed.open();
    await open.query('BEGIN');
    await open.query('SELECT * FROM public.t FOR UPDATE');
    const consumer = streamSlot(bed, server, slot);
    const stop = new AbortController();
    const clients = [1, 2].map(() => throughPooler(bed, pooler.port, stop.signal));
    try {
      const active = `SELECT active FROM pg_replication_slots WHERE slot_name = '${slot}'`;
      await expect.poll(() => bed.value(active), { timeout: 20_000 }).toBe('true');
      const { swap } = await bed.restore(bed.engine(), drop);
      expect(await rows(bed)).toBe('1');
      const said = swap.warnings.join('\n');
      expect(said).toContain(`the logical replication slot ${slot} stays`);
      expect(said).toContain(`the subscription s_${bed.id} stays`);
      // The pooler's clients find the new database by themselves.
      await Promise.all(clients.map(({ sees }) => sees('1')));
      const kept = swap.previous?.name ?? '';
      await bed.sql(`DROP SUBSCRIPTION s_${bed.id}`, kept);
    } finally {
      stop.abort();
      consumer.kill('SIGKILL');
      await Promise.all(clients.map(({ ended }) => ended));
    }
  });
});

/** As much of a manifest as makes an archive one of ours. */
async function manifestOf(bed: RestoreBed): Promise<object> {
  const sizeBytes = Number(await bed.value('SELECT pg_database_size(current_database())'));
  const tables = [{ schema: 'public', name: 't', rows: 4000 }];
  const names = { roles: [bed.owner], extensions: [], warnings: [] };
  const tool = { version: bed.server.version };
  const archive = { compression: 'none' };
  const database = { sizeBytes, notValid: [] };
  return { engine: 'postgres', tables, tool, archive, ...names, database };
}

/** A consumer of a logical slot, which connects again when it is sent away. */
function streamSlot(bed: RestoreBed, server: TestServer, slot: string): ChildProcess {
  const args = ['-d', bed.live, '--slot', slot, '--start', '-f', '/dev/null'];
  return spawn(join(server.binDir, 'pg_recvlogical'), args, {
    stdio: 'ignore',
    env: {
      PATH: process.env['PATH'],
      PGHOST: server.host,
      PGPORT: String(server.port),
      PGUSER: 'postgres',
      PGPASSWORD: server.password,
    },
  });
}

/** An application's client behind the pooler: asks again and again, whatever happens. */
function throughPooler(bed: RestoreBed, port: number, signal: AbortSignal) {
  let last: string | undefined;
  const ask = async () => {
    const client = new Client({ host: '127.0.0.1', port, user: 'app', database: bed.live });
    client.on('error', () => {});
    try {
      await client.connect();
      while (!signal.aborted) {
        const { rows: found } = await client.query('SELECT count(*)::text AS v FROM public.t');
        last = found[0]?.v;
        await delay(10);
      }
    } finally {
      await client.end().catch(() => {});
    }
  };
  const ended = (async () => {
    while (!signal.aborted) {
      await ask().catch(() => {});
      await delay(20);
    }
  })();
  const sees = async (wanted: string) => {
    await expect.poll(() => last, { timeout: 30_000 }).toBe(wanted);
  };
  return { ended, sees };
}
