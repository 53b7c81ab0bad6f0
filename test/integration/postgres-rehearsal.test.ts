import { randomBytes } from 'node:crypto';
import { copyFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { verdictOf } from '../../src/backup/verify/verdict.ts';
import type { Manifest } from '../../src/core/archive/manifest.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { failureOf } from '../support/failure.ts';
import { cutUnpacked, rehearseFromStore } from '../support/rehearsals-of.ts';
import { servers } from '../support/testbed.ts';
import { BackupBed, never, until } from './postgres-backup-bed.ts';
import { RehearsalBed } from './postgres-rehearsal-bed.ts';

describe.each(servers)('rehearsals on PostgreSQL $version', (server) => {
  let bed: RehearsalBed;
  beforeAll(async () => {
    bed = await RehearsalBed.create(server, server.major === 15 ? 2 : 1);
  }, 120_000);
  afterAll(async () => {
    await bed?.[Symbol.asyncDispose]();
  }, 60_000);

  test('a backup restores: every row counted, sequences, queries; nothing is left', async () => {
    const found = await bed.rehearse({}, ['SELECT true', 'SELECT count(*) >= 0 FROM pg_class']);
    expect(found.tables).toEqual(bed.manifest.tables);
    expect(found.tables.length).toBeGreaterThan(3);
    expect([found.notCovered, found.warnings]).toEqual([[], []]);
    expect(await bed.leftovers()).toEqual([]);
  });

  test('what the backup does not hold, or does not say, is told as not covered', async () => {
    const { database } = bed.manifest;
    const { sequencePositions: _, ...properties } = database.properties;
    const leftOut = [{ schema: 'public', name: 'logs', rows: 7 }];
    const tables = bed.manifest.tables.filter(({ rows }) => rows > 0);
    expect(tables.length).toBeLessThan(bed.manifest.tables.length);
    const found = await bed.compare({ leftOut, tables, database: { ...database, properties } });
    expect(found.notCovered).toEqual([
      'rows that are not in the backup: public.logs (7 rows)',
      expect.stringMatching(/^tables whose rows were not counted in the backup: \w+\.\w+/),
      expect.stringMatching(/^sequences are not compared/),
    ]);
  });

  test('a volume that does not keep what is unpacked there is no bad backup', async () => {
    const { manifest, archive, backup } = bed;
    const of = (name: string, change: Partial<Manifest> = {}) => {
      return { manifest: { ...manifest, ...change }, archive, folder: join(backup.folder, name) };
    };
    const cut = await failureOf(rehearseFromStore(bed.engine(), of('cut'), cutUnpacked));
    expect(cut.code).toBe('verify/not-as-in-archive');
    expect(verdictOf(cut)).toBe('inconclusive');
    const tables = manifest.tables.map((table) => ({ ...table, rows: table.rows + 1 }));
    const bad = await failureOf(rehearseFromStore(bed.engine(), of('bad', { tables })));
    expect(bad.code).toBe('restore/rows-differ');
    expect(await bed.leftovers()).toEqual([]);
  });

  test('what the archive does not hold is found: rows, sequences, large objects, validity', async () => {
    const { database, tables } = bed.manifest;
    const first = tables.find((table) => table.rows > 0);
    const more = (by: number) =>
      tables.map((table) => (table === first ? { ...table, rows: table.rows + by } : table));
    const withProperties = (change: object): Partial<Manifest> => {
      return { database: { ...database, properties: { ...database.properties, ...change } } };
    };
    const noted = JSON.parse(String(database.properties['sequencePositions'])) as unknown[][];
    expect(noted.length).toBeGreaterThan(0);
    const further = noted.map(([schema, name, last, ascending]) => [
      schema,
      name,
      String(BigInt(String(last)) + (ascending ? 1n : -1n)),
      ascending,
    ]);
    expect(database.notValid.length).toBeGreaterThan(0);
    const wrong: [Partial<Manifest>, string][] = [
      [{ tables: more(1) }, 'restore/rows-differ'],
      [{ tables: more(-1) }, 'restore/rows-differ'],
      [withProperties({ sequencePositions: JSON.stringify(further) }), 'verify/sequences-behind'],
      [
        withProperties({ largeObjects: Number(database.properties['largeObjects']) + 1 }),
        'verify/large-objects-differ',
      ],
      [{ database: { ...database, notValid: [] } }, 'restore/not-valid'],
    ];
    for (const [change, code] of wrong) {
      const error = await failureOf(bed.compare(change));
      expect(error.code).toBe(code);
      expect(verdictOf(error)).toBe('failed');
    }
    const whole = await failureOf(bed.rehearse({ tables: more(1) }));
    expect(whole.code).toBe('restore/rows-differ');
    expect(await bed.leftovers()).toEqual([]);
  }, 120_000);

  test('a query must return one true value, and cannot change anything', async () => {
    const cases: [string, string, string][] = [
      ['SELECT count(*) < 0 FROM pg_class', 'returned false', 'failed'],
      ['SELECT NULL::boolean', 'returned null', 'failed'],
      ['SELECT true WHERE false', 'no row', 'failed'],
      ['SELECT true FROM generate_series(1, 2)', 'more than one row', 'failed'],
      ['SELECT count(*) > 0 FROM no_such_table', 'no_such_table', 'failed'],
      ['DELETE FROM sales.customer RETURNING true', 'read-only', 'inconclusive'],
      ['SELEKT true', 'SELEKT', 'inconclusive'],
    ];
    for (const [query, why, verdict] of cases) {
      const error = await failureOf(bed.compare({}, ['SELECT true', query]));
      expect(error.message).toContain(why);
      expect(verdictOf(error)).toBe(verdict);
    }
  });

  test('what its server lacks is not held against a backup', async () => {
    const plain = await bed.backup.role();
    const rights = await failureOf(
      bed.rehearse({}, [], bed.engine({ user: plain, password: 'pw' })),
    );
    expect(rights.message).toMatch(/permission denied to create (database|role)/);
    const gone = await failureOf(bed.rehearse({}, [], bed.engine({ port: 1 })));
    expect(gone.code).toBe('database/unreachable');
    for (const error of [rights, gone]) expect(verdictOf(error)).toBe('inconclusive');
    const checks = await bed.engine({ user: plain, password: 'pw' }).checks(never);
    expect(checks.find(({ status }) => status === 'failed')?.hint).toContain('CREATEDB');
    expect((await bed.engine().checks(never)).map(({ status }) => status)).toEqual([
      'ok',
      'ok',
      'ok',
    ]);
  }, 60_000);

  test('an archive that does not load is a bad backup', async () => {
    const toc = `${bed.archive}.cut`;
    await copyFile(bed.archive, toc);
    // A custom archive or a tar, cut in the middle: whoever reads it to the end notices.
    await truncate(toc, Math.floor(bed.manifest.archive.bytes / 2));
    const error = await failureOf(bed.rehearse({}, [], bed.engine(), never, toc));
    expect(verdictOf(error), error.code).toBe('failed');
    expect(await bed.leftovers()).toEqual([]);
  });

  test('what an interrupted one left is swept by the next of the same name alone', async () => {
    const stop = new AbortController();
    const running = failureOf(
      bed.rehearse({}, ['SELECT pg_sleep(60) IS NULL'], bed.engine(), stop.signal),
    );
    await until(async () => ((await bed.leftovers()).length > 0 ? true : undefined));
    stop.abort();
    expect((await running).code).toBe('run/aborted');
    expect(await bed.leftovers()).toEqual([]);

    const name = `dropback_v_${randomBytes(8).toString('hex')}`;
    const role = `test_gone_${randomBytes(6).toString('hex')}`;
    const mark = `"rehearsal of ${bed.name}"`;
    await bed.backup.admin.query(`CREATE DATABASE ${name}`);
    await bed.backup.admin.query(
      `COMMENT ON DATABASE ${name} IS 'dropback: belongs to a restore of the database ${mark}'`,
    );
    await bed.backup.admin.query(`CREATE ROLE ${role} NOLOGIN`);
    await bed.backup.admin.query(
      `COMMENT ON ROLE ${role} IS 'dropback: placeholder of restore ${'0'.repeat(16)} of the database ${mark}'`,
    );
    const known = (await bed.source.engine().sweep([], bed.source.context())).filter(
      (swept) => swept === name || swept === role,
    );
    expect(known).toEqual([]);
    expect((await bed.leftovers()).sort()).toEqual([name, role].sort());
    expect((await bed.engine().sweep(silentLogger(), never)).sort()).toEqual([name, role].sort());
    expect(await bed.leftovers()).toEqual([]);
  }, 60_000);

  test('one at a time: the next waits, and is told', async () => {
    const first = await bed.engine().lock({ waitMs: 0 }, never);
    const busy = await failureOf(bed.engine().lock({ waitMs: 0 }, never));
    expect(busy.code).toBe('lock/busy');
    expect(verdictOf(busy)).toBe('inconclusive');
    await first[Symbol.asyncDispose]();
    await using _second = await bed.engine().lock({ waitMs: 30_000 }, never);
  });
});

const [older, newer] = [
  servers.find(({ major }) => major === 15),
  servers.find(({ major }) => major === 18),
];

describe.skipIf(!older || !newer)('rehearsals on another server', () => {
  test('its unknown roles are made, and go again', async () => {
    if (!older || !newer) return;
    await using bed = await RehearsalBed.create(older, 1);
    const { host, port, password } = newer;
    const elsewhere = { host, port, password };
    const names = async (admin: BackupBed) => {
      const rows = await admin.admin.query<{ name: string }>(
        'SELECT rolname AS name FROM pg_roles WHERE rolname = ANY ($1::text[])',
        [bed.manifest.roles],
      );
      return rows.map(({ name }) => name).filter((name) => name.startsWith('test_'));
    };
    await using there = await BackupBed.create(newer);
    expect(await names(there)).toEqual([]);
    const found = await bed.rehearse({}, [], bed.engine(elsewhere));
    expect(found.tables).toEqual(bed.manifest.tables);
    expect(found.warnings.join()).not.toContain('left out');
    expect(await names(there)).toEqual([]);
  }, 120_000);

  test('a role that may create databases is enough, without owners and grants', async () => {
    if (!newer) return;
    await using bed = await RehearsalBed.create(newer, 2, (source) =>
      source.sql(`CREATE TABLE a (id serial PRIMARY KEY, t text UNIQUE);
       INSERT INTO a (t) SELECT i::text FROM generate_series(1, 100) i;
       CREATE TABLE b (a int REFERENCES a);
       ALTER TABLE b ADD CONSTRAINT later CHECK (a > 0) NOT VALID;
       ALTER TABLE b ENABLE ROW LEVEL SECURITY; ALTER TABLE b FORCE ROW LEVEL SECURITY;
       CREATE POLICY nobody ON b USING (false);
       INSERT INTO b VALUES (1);
       CREATE EXTENSION pg_trgm`),
    );
    const user = await bed.backup.role('CREATEDB');
    const found = await bed.rehearse({}, [], bed.engine({ user, password: 'pw' }));
    expect(found.tables).toEqual(bed.manifest.tables);
    expect(found.warnings).toEqual([]);
    expect(await bed.leftovers()).toEqual([]);
  }, 120_000);
});
