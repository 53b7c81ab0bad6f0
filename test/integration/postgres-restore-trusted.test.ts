import { stat, truncate } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import type { Manifest } from '../../src/core/archive/manifest.ts';
import { servers, type TestServer, testbed } from '../support/testbed.ts';
import { ownBackup } from './postgres-own-backup.ts';
import { ident, RestoreBed } from './postgres-restore-bed.ts';

describe.each(servers)('restoring our own backup into PostgreSQL $major', (server) => {
  test('is exact: publications, owners, grants, row counts from the manifest', async () => {
    await using bed = await RestoreBed.create(server);
    const source = await bed.database(`test_source_${bed.id}`);
    await bed.fill(source);
    const drop = await ownBackup(bed, source);
    const { inspection, check } = await bed.restore(bed.engine(), drop);
    expect(inspection.trusted).toBe(true);
    expect(check.tables).toEqual(inspection.expectedTables);
    expect(await bed.picture(bed.live)).toEqual(await bed.picture(source));
    expect(await bed.leftovers()).toEqual([]);
  });

  test('rows that differ from the manifest are refused, and nothing stays behind', async () => {
    await using bed = await RestoreBed.create(server);
    await bed.sql('CREATE TABLE t (i int); INSERT INTO t SELECT generate_series(1, 10)');
    const drop = await ownBackup(bed, bed.live);
    const tables = [{ schema: 'public', name: 't', rows: 11 }];
    const wrong = { ...drop, manifest: { ...drop.manifest, tables } as Manifest };
    await expect(bed.restore(bed.engine(), wrong)).rejects.toMatchObject({
      code: 'restore/rows-differ',
    });
    expect(await bed.leftovers()).toEqual([]);
    expect(await bed.value('SELECT count(*) FROM public.t')).toBe('10');
  });

  test('content that was damaged after its checksum was looked up is refused by the load', async () => {
    await using bed = await RestoreBed.create(server);
    await bed.sql('CREATE TABLE t AS SELECT i, md5(i::text) FROM generate_series(1, 20000) AS i');
    const drop = await ownBackup(bed, bed.live);
    await bed.sql('DELETE FROM t WHERE i > 7');
    const { size } = await stat(drop.path);
    await truncate(drop.path, Math.floor(size / 2));
    const error = await bed.restore(bed.engine(), drop).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: expect.stringMatching(/^(drop|restore)\//) });
    expect(await bed.leftovers()).toEqual([]);
    expect(await bed.value('SELECT count(*) FROM public.t')).toBe('7');
  });

  test('goes back behind a table that most of the data is in by now, with a warning', async () => {
    await using bed = await RestoreBed.create(server);
    await bed.sql('CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
    const drop = await ownBackup(bed, bed.live);
    await bed.sql('CREATE TABLE later (i int); INSERT INTO later SELECT generate_series(1, 9000)');
    const { inspection } = await bed.restore(bed.engine(), drop);
    expect(inspection.warnings).toContainEqual(expect.stringMatching(/^the file lacks .*later/));
    expect(inspection.differences.join()).toContain('table "public.later" disappears');
    expect(await bed.value(`SELECT to_regclass('public.later') IS NULL`)).toBe('true');
  });

  test('a role that is gone leaves its objects to the owner, with a warning', async () => {
    await using bed = await RestoreBed.create(server);
    const gone = await bed.role(`test gone "${bed.id}`);
    await bed.sql(`CREATE TABLE kept (i int); CREATE TABLE owned (i int); ALTER TABLE owned OWNER TO ${ident(gone)};
      GRANT SELECT ON kept TO ${ident(gone)}, ${bed.reader};
      ALTER TABLE kept ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON kept TO ${ident(gone)}, ${bed.app} USING (true);`);
    const drop = await ownBackup(bed, bed.live);
    await bed.sql(`REASSIGN OWNED BY ${ident(gone)} TO ${bed.owner}; DROP OWNED BY ${ident(gone)}`);
    await bed.admin.query(`DROP ROLE ${ident(gone)}`);
    const { inspection, check } = await bed.restore(bed.engine(), drop);
    expect(inspection.roles.missing).toEqual([gone]);
    expect(check.warnings.join()).toContain(gone);
    const acl = await bed.value("SELECT relacl FROM pg_class WHERE relname = 'kept'");
    expect(acl).toContain(`${bed.reader}=r/`);
    const owner = await bed.value("SELECT tableowner FROM pg_tables WHERE tablename = 'owned'");
    expect(owner).toBe(bed.owner);
    const found = await bed.admin.query('SELECT 1 FROM pg_roles WHERE rolname = $1', [gone]);
    expect(found).toEqual([]);
  });

  test('an application role that may create databases restores its own backup', async () => {
    await using bed = await RestoreBed.create(server);
    await bed.admin.query(`ALTER ROLE ${bed.owner} CREATEDB`);
    await bed.sql(`SET ROLE ${bed.owner}; CREATE TABLE t (i int PRIMARY KEY);
      INSERT INTO t SELECT generate_series(1, 10)`);
    const drop = await ownBackup(bed, bed.live);
    await bed.sql('DELETE FROM t');
    const connection = bed.connection({ user: bed.owner, password: 'pw' });
    const database = { kind: 'postgres' as const, connection, maintenanceDatabase: 'postgres' };
    // What its maker left out is said before anything is replaced.
    const excludedTableData = ['log_*'];
    const leftOut = [{ schema: 'public', name: 'log_1', rows: 5 }];
    const lean = {
      ...drop,
      manifest: { ...drop.manifest, excludedTableData, leftOut } as Manifest,
    };
    const { inspection } = await bed.restore(bed.engine({ database }), lean);
    expect(inspection.warnings).toContainEqual(
      expect.stringMatching(/come back empty.*public\.log_1 \(5 rows left out\)/),
    );
    expect(await bed.value('SELECT count(*) FROM public.t')).toBe('10');
  });
});

const { postgres15, postgres18 } = testbed;

describe.skipIf(!postgres15 || !postgres18)('between versions', () => {
  const pairs = [
    [15, 18],
    [18, 15],
  ] as const;
  const serverOf = (major: number) => (major === 15 ? postgres15 : postgres18) as TestServer;

  test.each(pairs)('our own backup of %i restores into %i', async (from, to) => {
    await using source = await RestoreBed.create(serverOf(from));
    await using target = await RestoreBed.create(serverOf(to));
    for (const role of [source.owner, source.app, source.reader]) await target.role(role);
    await source.fill(source.live);
    const drop = await ownBackup(source, source.live);
    const { inspection, check } = await target.restore(target.engine(), drop);
    expect(check.tables).toEqual(inspection.expectedTables);
    const [wanted, found] = [await source.picture(source.live), await target.picture(target.live)];
    expect(found.data).toEqual(wanted.data);
  });

  test.each(pairs)('a foreign script of %i restores into %i', async (from, to) => {
    await using source = await RestoreBed.create(serverOf(from));
    await using target = await RestoreBed.create(serverOf(to));
    for (const role of [source.owner, source.app, source.reader]) await target.role(role);
    await source.fill(source.live);
    const drop = await source.dump('postgres-plain', source.live);
    await target.restore(target.engine(), drop);
    const [wanted, found] = [await source.picture(source.live), await target.picture(target.live)];
    expect(found.data).toEqual(wanted.data);
  });
});
