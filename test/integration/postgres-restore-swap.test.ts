import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { connect } from '../../src/core/engines/postgres/connection.ts';
import { dropDatabase } from '../../src/core/engines/postgres/restore/drop-database.ts';
import { systemClock } from '../../src/core/runtime/clock.ts';
import { isAbort } from '../../src/core/runtime/errors.ts';
import { servers } from '../support/testbed.ts';
import { ident, never, RestoreBed, superuser } from './postgres-restore-bed.ts';

describe.each(servers)('the swap on PostgreSQL $major', (server) => {
  test('carries over everything that follows the OID, on a 63-byte name', async () => {
    const live = `${'ü"x'.repeat(15)}xxx`;
    expect(Buffer.byteLength(live)).toBe(63);
    await using bed = await RestoreBed.create(server, live);
    const name = ident(live);
    const on = (text: string) => bed.admin.query(text.replaceAll('DB', `DATABASE ${name}`));
    await on('ALTER DB CONNECTION LIMIT 77');
    await on(`COMMENT ON DB IS 'it''s "mine"'`);
    await on('REVOKE ALL ON DB FROM PUBLIC');
    await on(`GRANT CONNECT ON DB TO ${bed.app} WITH GRANT OPTION`);
    await on(`SET ROLE ${bed.app}`);
    await on(`GRANT CONNECT ON DB TO ${bed.reader}`);
    await on('RESET ROLE');
    await on(`ALTER DB SET search_path = "$user", "we""ird, schema", public`);
    await on(`ALTER DB SET temp_tablespaces = ''`);
    await on(`ALTER DB SET work_mem = '7MB'`);
    await on(`ALTER DB SET "app.te'nant\\x" = 'a''b\\c, "d"'`).catch(() =>
      on(`ALTER DB SET app.tenant = 'a''b\\c, "d"'`),
    );
    await on('ALTER DB SET log_statement = ddl');
    await on(`ALTER ROLE ${bed.app} IN DB SET search_path = app, public`);
    await on(`ALTER ROLE ${bed.app} IN DB SET statement_timeout = '9s'`);
    await bed.sql('CREATE TABLE t (i int); INSERT INTO t VALUES (1), (2)');
    const drop = await bed.dump('postgres-custom', live);
    const before = await settings(bed, live);
    await bed.restore(bed.engine(), drop);
    expect(await settings(bed, live)).toEqual(before);
    expect(await bed.value('SELECT count(*) FROM public.t')).toBe('2');
  });

  test('a DROP that a dead daemon has left running neither blocks nor fails the next one', async () => {
    await using bed = await RestoreBed.create(server);
    await bed.sql('CREATE TABLE t (i int)');
    const engine = bed.engine();
    const drop = await bed.dump('postgres-custom', bed.live);
    const { previous } = (await bed.restore(engine, drop)).swap;
    if (!previous) throw new Error('nothing was kept');
    // Holds the lock that a DROP in the middle of its work holds, and never comes to its end.
    await using orphan = await connect(superuser(server), {
      applicationName: `dropback drop ${previous.id}`,
      signal: never,
    });
    await orphan.query('BEGIN');
    await orphan.query(`COMMENT ON DATABASE ${ident(previous.name)} IS 'held'`);
    await engine.dropPrevious(previous, bed.context());
    expect(await engine.measurePrevious(previous, never)).toBeUndefined();

    // Both see the database; the one that comes second finds it gone.
    const name = await bed.database(`dropback_s_${bed.id}${bed.id}`);
    const sessions = await Promise.all([bed.open('postgres'), bed.open('postgres')]);
    const doomed = { name, kind: 'staging', oid: null } as const;
    await Promise.all(sessions.map((session) => dropDatabase(session, doomed)));
    for (const session of sessions) await session[Symbol.asyncDispose]();
    expect(await bed.value(`SELECT count(*) FROM pg_database WHERE datname = '${name}'`)).toBe('0');
  });

  test('builds the new database with the encoding, provider and locale of the live one', async () => {
    await using bed = await RestoreBed.create(server);
    const kinds = [
      `ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'de-AT' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'`,
      `ENCODING 'LATIN1' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'`,
      ...(server.major >= 17
        ? [`ENCODING 'UTF8' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'`]
        : []),
    ];
    for (const kind of kinds) {
      await bed.database(bed.live, `OWNER ${bed.owner} ${kind}`);
      await bed.sql(`CREATE TABLE t (x text); INSERT INTO t VALUES ('é')`);
      const drop = await bed.dump('postgres-plain', bed.live);
      const before = await settings(bed, bed.live);
      await bed.restore(bed.engine(), drop);
      expect(await settings(bed, bed.live)).toEqual(before);
      expect(await bed.value('SELECT x FROM public.t')).toBe('é');
    }
  });

  test('wins against clients that reconnect in a loop', async () => {
    await using bed = await RestoreBed.create(server);
    await bed.sql('CREATE TABLE t (i int)');
    const drop = await bed.dump('postgres-custom', bed.live);
    const stop = new AbortController();
    const clients = Array.from({ length: 4 }, () => reconnect(bed, stop.signal));
    const { swap } = await bed.restore(bed.engine(), drop);
    stop.abort();
    await Promise.all(clients);
    expect(swap.previous?.identity).toMatch(/^\d+$/);
  });

  test('a connection killed again and again leaves either the old or the new one', async () => {
    await using bed = await RestoreBed.create(server);
    await bed.sql('CREATE TABLE t (i int)');
    const drop = await bed.dump('postgres-custom', bed.live);
    await bed.sql('DROP TABLE t; CREATE TABLE old (i int)');
    const stop = new AbortController();
    const engine = bed.engine();
    const context = bed.context();
    const inspection = await engine.inspect({ ...drop, force: true }, context);
    let state = await engine.plan(inspection, { kind: 'live' }, context);
    state = await engine.stage(state, drop, inspection, context);
    await engine.check(state, inspection, context);
    const killer = killLoop(bed, `dropback restore ${state['id']}`, stop.signal);
    const ended = await engine.swap(state, context).then(
      () => 'swapped',
      () => 'not-swapped',
    );
    stop.abort();
    await killer;
    expect(await engine.outcome(state, context.signal)).toBe(ended);
    const table = await bed.value(`SELECT to_regclass('public.old') IS NOT NULL`);
    expect(table).toBe(ended === 'swapped' ? 'false' : 'true');
    if (ended === 'not-swapped') await engine.discard(state, context);
    else await engine.finish(state, context);
    expect(await bed.leftovers()).toEqual([]);
  });

  test('a live database that was replaced meanwhile is left alone', async () => {
    await using bed = await RestoreBed.create(server);
    const drop = await bed.dump('postgres-custom', bed.live);
    const engine = bed.engine();
    const context = bed.context();
    const inspection = await engine.inspect(drop, context);
    let state = await engine.plan(inspection, { kind: 'live' }, context);
    state = await engine.stage(state, drop, inspection, context);
    await engine.check(state, inspection, context);
    await bed.database(bed.live);
    await expect(engine.swap(state, context)).rejects.toMatchObject({
      code: 'restore/live-changed',
    });
    expect(await engine.outcome(state, context.signal)).toBe('not-swapped');
    await engine.discard(state, context);
    await engine.discard(state, context);
    expect(await bed.leftovers()).toEqual([]);
  });

  test('is undone, and undone again; kept databases are dropped by identity alone', async () => {
    await using bed = await RestoreBed.create(server);
    await bed.sql('CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
    const drop = await bed.dump('postgres-plain', bed.live);
    await bed.sql('INSERT INTO t VALUES (2)');
    const engine = bed.engine();
    const context = bed.context();
    const rows = () => bed.value('SELECT count(*) FROM public.t');
    const first = await bed.restore(engine, drop);
    expect(await rows()).toBe('1');
    const previous = first.swap.previous;
    if (!previous) throw new Error('no previous');
    const undo = await engine.planUndo(previous, context);
    const { previous: second } = await engine.swap(undo, context);
    await engine.finish(undo, context);
    expect(await rows()).toBe('2');
    if (!second) throw new Error('no previous');
    expect(await engine.outcome(undo, context.signal)).toBe('swapped');
    expect((await engine.replaced(undo, context.signal)).previous?.identity).toBe(second.identity);
    expect(await engine.measurePrevious(previous, context.signal)).toBeUndefined();
    expect(await engine.measurePrevious(second, context.signal)).toBeGreaterThan(1_000_000);
    await expect(
      engine.dropPrevious({ ...second, identity: previous.identity }, context),
    ).rejects.toMatchObject({ code: 'restore/not-ours' });
    await expect(engine.dropPrevious({ ...second, name: bed.live }, context)).rejects.toMatchObject(
      { code: 'restore/not-ours' },
    );
    await engine.dropPrevious(second, context);
    await engine.dropPrevious(second, context);
    expect(await engine.measurePrevious(second, context.signal)).toBeUndefined();
  });

  test('creates a missing target, and a side database without touching the live one', async () => {
    await using bed = await RestoreBed.create(server);
    await bed.sql('CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
    const drop = await bed.dump('postgres-plain', bed.live);
    const name = `test_side_${bed.id}`;
    const oid = await bed.value('SELECT oid FROM pg_database WHERE datname = current_database()');
    const side = await bed.restore(bed.engine(), drop, { kind: 'side', name });
    expect(side.swap.previous).toBeUndefined();
    expect(await bed.value('SELECT count(*) FROM public.t', name)).toBe('1');
    expect(await bed.value('SELECT oid FROM pg_database WHERE datname = current_database()')).toBe(
      oid,
    );
    await expect(bed.restore(bed.engine(), drop, { kind: 'side', name })).rejects.toMatchObject({
      code: 'restore/side-exists',
    });

    await bed.admin.query(`DROP DATABASE ${ident(bed.live)}`);
    const { swap } = await bed.restore(bed.engine(), drop);
    expect(swap.previous).toBeUndefined();
    expect(await bed.value('SELECT count(*) FROM public.t')).toBe('1');
  });

  test('a sweep removes what no journal knows, and nothing else', async () => {
    await using bed = await RestoreBed.create(server);
    await using other = await RestoreBed.create(server);
    await bed.sql('CREATE TABLE t (i int)');
    const drop = await bed.dump('postgres-plain', bed.live);
    const staged = async (of: RestoreBed) => {
      const engine = of.engine();
      const context = of.context();
      const inspection = await engine.inspect({ ...drop, force: true }, context);
      const plan = await engine.plan(inspection, { kind: 'live' }, context);
      return engine.stage(plan, drop, inspection, context);
    };
    const [lost, known, foreign] = [await staged(bed), await staged(bed), await staged(other)];
    const removed = await bed.engine().sweep([known], bed.context());
    expect(removed).toContain(lost['stagingName']);
    expect(removed).toContain(lost['loadRole']);
    expect(removed).not.toContain(known['stagingName']);
    expect(removed).not.toContain(foreign['stagingName']);
    for (const [of, state] of [
      [bed, known],
      [other, foreign],
    ] as const) {
      await of.engine().discard(state, of.context());
      expect(await of.leftovers()).toEqual([]);
    }
  });

  test('a staging database without a mark is left while whoever makes it is connected', async () => {
    await using bed = await RestoreBed.create(server);
    let now = 0;
    const sleep = async (ms: number) => {
      now += ms;
    };
    const engine = bed.engine({ clock: { ...systemClock, monotonic: () => now, sleep } });
    const id = randomBytes(8).toString('hex');
    const name = await bed.database(`dropback_s_${id}`, '');
    {
      await using _maker = await connect(bed.connection({ database: 'postgres' }), {
        applicationName: `dropback restore ${id}`,
        signal: never,
      });
      expect(await engine.sweep([], bed.context())).not.toContain(name);
    }
    await expect.poll(() => engine.sweep([], bed.context()), { timeout: 60_000 }).toContain(name);
  });

  test('an abort while loading ends the load, and discard leaves nothing', async () => {
    await using bed = await RestoreBed.create(server);
    const text = `-- PostgreSQL database dump\nCREATE TABLE public.t (i int);\nSELECT pg_catalog.pg_sleep(60);\n-- PostgreSQL database dump complete\n`;
    const drop = await bed.script(text);
    const stop = new AbortController();
    const engine = bed.engine();
    const inspection = await engine.inspect(drop, bed.context());
    const context = bed.context(stop.signal);
    const plan = await engine.plan(inspection, { kind: 'live' }, context);
    setTimeout(() => stop.abort(), 1500);
    const error = await engine.stage(plan, drop, inspection, context).catch((one: unknown) => one);
    expect(isAbort(error)).toBe(true);
    const last = bed.saved.at(-1);
    if (!last) throw new Error('nothing was saved');
    await engine.discard(last, bed.context());
    expect(await bed.leftovers()).toEqual([]);
  });
});

/** Everything that `pg_dump --create` says of a database apart from its name, and who may do what. */
async function settings(bed: RestoreBed, database: string): Promise<unknown> {
  return bed.admin.query(
    `SELECT pg_get_userbyid(datdba) AS owner, datconnlimit, datistemplate, encoding, datcollate, datctype,
            to_jsonb(d) -> 'datlocprovider' AS provider,
            coalesce(to_jsonb(d) -> 'datlocale', to_jsonb(d) -> 'daticulocale') AS locale, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(coalesce(datacl, acldefault('d', datdba))) a) AS acl, dattablespace::text,
            shobj_description(oid, 'pg_database') AS comment,
            (SELECT array_agg(pg_get_userbyid(setrole) || setconfig::text ORDER BY 1)
               FROM pg_db_role_setting WHERE setdatabase = d.oid) AS settings
       FROM pg_database d WHERE datname = $1`,
    [database],
  );
}

async function reconnect(bed: RestoreBed, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await using session = await bed.open(bed.live, bed.app);
      for (;;) {
        if (signal.aborted) return;
        await session.query('SELECT 1');
        await delay(5);
      }
    } catch {
      await delay(5);
    }
  }
}

async function killLoop(bed: RestoreBed, name: string, signal: AbortSignal): Promise<void> {
  await using session = await bed.open('postgres');
  while (!signal.aborted) {
    await session.query(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1',
      [name],
    );
    await delay(20);
  }
}
