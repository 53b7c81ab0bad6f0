import { describe, expect, test } from 'vitest';
import type { RestoreState } from '../../src/core/engines/engine.ts';
import { servers } from '../support/testbed.ts';
import { ident, RestoreBed } from './postgres-restore-bed.ts';

const dump = (body: string) =>
  `--\n-- PostgreSQL database dump\n--\n\n${body}\n\n--\n-- PostgreSQL database dump complete\n--\n`;

/** An index expression that ANALYZE calls as the owner of the table, autovacuum's ANALYZE included. */
const trap = `CREATE TABLE public.t (i int);
CREATE FUNCTION public.evil(i int) RETURNS int LANGUAGE sql IMMUTABLE SECURITY DEFINER AS 'SELECT i';
CREATE INDEX evil ON public.t (public.evil(i));
INSERT INTO public.t SELECT generate_series(1, 500);`;

const ownedBySuperusers = `SELECT count(*) FROM (
  SELECT relowner AS owner FROM pg_class WHERE relnamespace = 'public'::regnamespace
   UNION ALL SELECT proowner FROM pg_proc WHERE pronamespace = 'public'::regnamespace) o
  JOIN pg_roles r ON r.oid = o.owner WHERE r.rolsuper`;

async function superuserBed(server: (typeof servers)[number]): Promise<RestoreBed> {
  const bed = await RestoreBed.create(server);
  await bed.sql('CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
  await bed.admin.query(`ALTER DATABASE ${ident(bed.live)} OWNER TO postgres`);
  return bed;
}

describe.each(servers)('a foreign file for a superuser on PostgreSQL $major', (server) => {
  test('a check gives nothing of the file to the superuser, and leaves nothing', async () => {
    await using bed = await superuserBed(server);
    const engine = bed.engine();
    const body = `${trap}\nALTER TABLE public.t OWNER TO nobody_here;
GRANT SELECT ON TABLE public.t TO ${bed.reader};`;
    const drop = await bed.script(dump(body));
    const context = bed.context();
    const inspection = await engine.inspect(drop, context);
    let state: RestoreState = await engine.plan(
      inspection,
      { kind: 'live', rehearsal: true },
      context,
    );
    state = await engine.stage(state, drop, inspection, context);
    const check = await engine.check(state, inspection, context);
    expect(check.tables).toEqual([{ schema: 'public', name: 't', rows: 500 }]);
    expect(check.warnings.join('\n')).toMatch(/postgres, is a superuser/);
    expect(check.warnings.join('\n')).toMatch(/nobody_here/);
    expect(await bed.value(ownedBySuperusers, String(state['stagingName']))).toBe('0');
    await engine.discard(state, context);
    expect(await bed.leftovers()).toEqual([]);
  });

  test('a restore hands it over, and says what that means', async () => {
    await using bed = await superuserBed(server);
    const { check } = await bed.restore(bed.engine(), await bed.script(dump(trap)));
    expect(check.warnings.join('\n')).toMatch(/postgres, is a superuser/);
    expect(await bed.value(ownedBySuperusers)).toBe('3');
    expect(await bed.leftovers()).toEqual([]);
  });

  test('temporary files of a load are bounded by the disk budget', async () => {
    await using bed = await superuserBed(server);
    const body = `CREATE TABLE public.t (i int);
INSERT INTO public.t VALUES (1);
SELECT count(*) FROM (SELECT i FROM generate_series(1, 200000000) i ORDER BY -i OFFSET 1) s;`;
    const engine = bed.engine({ maxStagingBytes: 40_000_000 });
    const refused = bed.restore(engine, await bed.script(dump(body)), { kind: 'live' });
    await expect(refused).rejects.toMatchObject({
      message: expect.stringMatching(/temporary file size exceeds .*temp_file_limit/),
    });
    expect(await bed.leftovers()).toEqual([]);
  });
});
