import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  inspectScript,
  ScriptInspector,
} from '../../src/core/engines/postgres/script/inspection.ts';
import { ScriptSplitter } from '../../src/core/engines/postgres/script/splitter.ts';
import { CONTROL_TYPES, parseToc, tocList } from '../../src/core/engines/postgres/script/toc.ts';
import { samplePath, testWith } from '../support/samples.ts';
import { servers, testbed } from '../support/testbed.ts';
import { never, ScriptBed } from './postgres-script-bed.ts';

const FLAVOURS: Record<string, string[]> = {
  plain: [],
  '--create': ['--create'],
  '--clean': ['--clean'],
  '--clean --if-exists': ['--clean', '--if-exists'],
  '--create --clean': ['--create', '--clean'],
  '--inserts': ['--inserts'],
  '--column-inserts': ['--column-inserts'],
  '--rows-per-insert': ['--rows-per-insert=50'],
  '--disable-dollar-quoting': ['--disable-dollar-quoting'],
  '--quote-all-identifiers': ['--quote-all-identifiers'],
  '--verbose': ['--verbose'],
};
/** Publications of tables are the owner's to make. */
const LEAVE_OUT = ['event trigger', 'subscription', 'tablespace'] as const;

const pagila = samplePath('pagila.sql') ?? '';

describe.each(servers)('scripts of PostgreSQL $major', (server) => {
  let bed: ScriptBed;
  let rich: { database: string; roles: string[] };
  let schema: string;
  let data: string;
  beforeAll(async () => {
    bed = await ScriptBed.create(server);
    rich = await bed.rich();
    schema = await bed.comparable(rich.database, ['-s']);
    data = await bed.comparable(rich.database, ['-a'], true);
  });
  afterAll(() => bed?.[Symbol.asyncDispose]());

  it.each(Object.entries(FLAVOURS))(
    '%s: loads as a role of no rights, owners and grants rebuilt',
    async (_name, args) => {
      const path = await bed.dump(rich.database, args);
      const summary = await inspectScript(path, { serverMajor: server.major, signal: never });
      expect(summary.roles).toEqual([...rich.roles].sort());
      expect(summary.largeObjects).toBe(2);
      const rows = Object.fromEntries(summary.tables.map((table) => [table.name, table.rows]));
      expect(rows).toMatchObject({
        customer: 500,
        sealed: 25,
        child: 60,
        empty_one: 0,
        order_2024: 1255,
      });

      const { database, result } = await bed.load(path, { leaveOut: LEAVE_OUT });
      expect(result.unparsed).toEqual([]);
      await bed.applyOwnership(database, result, server.major);
      expect(await bed.comparable(database, ['-s'])).toBe(schema);
      expect(await bed.comparable(database, ['-a'], true)).toBe(data);
      const counted = await bed.sql('SELECT count(*) FROM sales.customer', database);
      expect(counted.trim()).toBe('500');
    },
  );

  it('the splitter gives back every byte of a real dump', async () => {
    const bytes = await readFile(await bed.dump(rich.database, ['--inserts', '--clean']));
    for (const size of [1, 3, 4096]) {
      const splitter = new ScriptSplitter();
      const pieces: Buffer[] = [];
      for (let at = 0; at < bytes.length; at += size) {
        for (const event of splitter.push(Buffer.from(bytes.subarray(at, at + size))))
          pieces.push(event.bytes);
      }
      for (const event of splitter.end()) pieces.push(event.bytes);
      expect(Buffer.concat(pieces).equals(bytes)).toBe(true);
    }
  });

  it('a dump cut anywhere is truncated', async () => {
    const bytes = await readFile(await bed.dump(rich.database));
    const trailer = bytes.lastIndexOf('-- PostgreSQL database dump complete');
    for (let cut = 200; cut < trailer; cut += 997) {
      const inspector = new ScriptInspector({ serverMajor: server.major });
      expect(() => {
        inspector.push(Buffer.from(bytes.subarray(0, cut)));
        inspector.end();
      }, `cut at ${cut}`).toThrow(expect.objectContaining({ code: 'drop/truncated' }));
    }
  });

  it('reads and shortens the list of an archive', async () => {
    const archive = await bed.dump(rich.database, ['-Fc'], 'dump.pg');
    const listing = await bed.tool('pg_restore', ['-l', archive], rich.database);
    const toc = parseToc(listing, { roles: rich.roles });
    expect(toc.format).toBe('CUSTOM');
    expect(toc.dumpVersion).toContain(String(server.major));
    const entries = listing.split('\n').filter((line) => /^\d/.test(line));
    expect([...toc.entries]).toHaveLength(entries.length);
    expect(
      toc.entries.filter((entry) => entry.type === 'TABLE').map((entry) => entry.name),
    ).toContain('customer');
    const list = join(bed.folder, 'list');
    await writeFile(list, tocList(toc, { types: CONTROL_TYPES }));
    const script = await bed.tool('pg_restore', ['-L', list, '-f', '-', archive], rich.database);
    expect(script).toContain('CREATE TABLE sales.customer');
    expect(script).not.toMatch(/^(GRANT|REVOKE|CREATE PUBLICATION|ALTER DEFAULT)/m);
  });

  testWith(pagila)('pagila, as a foreign file', async () => {
    const summary = await inspectScript(pagila, { serverMajor: server.major, signal: never });
    expect(summary.tables).toHaveLength(22);
    const { database, result } = await bed.load(pagila);
    expect(result.copyRows).toBe(46_273);
    const films = await bed.sql('SELECT count(*) FROM public.film', database);
    expect(films.trim()).toBe('1000');
  });

  /** Boundaries as psql sees them: with timing on, it prints a line behind each statement. */
  it.each([
    ["SELECT 'a;b';", "SELECT E'\\';';", 'SELECT $x$;$$;$x$;', 'SELECT 1 AS "a;";'],
    ['SELECT 1 -- ;\n;', 'SELECT /* ; /* ; */ ; */ 1;', "SELECT 1 +/*;'*/ 1;", "SELECT '*/;';"],
    ["SELECT 'a'\n'b;';", "SELECT U&'\\0041;';", "SELECT b'01', x'1F;';", "SELECT n';';"],
    ['SELECT (1;2);', 'SELECT 1);', "SELECT ';', (';');"],
    [
      'CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;',
      'SELECT 1;',
    ],
    ['SELECT a$b$;', 'SELECT 1$$;$$;', 'SELECT $1;', "SELECT fe'\\';", "SELECT 1e'\\';"],
    ["SELECT 'x'::text, (ARRAY[1,2])[1:2];", "SELECT ':x';"],
  ])('ends statements where psql does: %s …', async (...statements) => {
    const script = `${statements.join('\n')}\n`;
    const splitter = new ScriptSplitter();
    const ours = [...splitter.push(Buffer.from(script)), ...splitter.end()].flatMap((event) =>
      event.kind === 'statement' ? [event.bytes.toString()] : [],
    );
    const psql = bed.psql('postgres', 'postgres', ['-e', '-o', '/dev/null', '-c', '\\timing on']);
    psql.stdin.end(script);
    const echoed = (await psql.done).replace(/^Timing is on\.\n/, '').split(/^Time: .*\n/m);
    const bare = (text: string) => text.replace(/--.*$/gm, '').replace(/\s+/g, '');
    const theirs = echoed.map(bare).filter((text) => text !== '');
    expect(ours.map(bare)).toEqual(theirs);
  });

  it('keeps psql in restricted mode to the end, whatever is in the data', async () => {
    const path = join(bed.folder, 'hostile.sql');
    const marker = join(bed.folder, 'touched');
    const body = `CREATE TABLE public.t (a text);
COPY public.t (a) FROM stdin;
\\unrestrict x
\\! touch ${marker}
\\.
INSERT INTO public.t VALUES ('
\\! touch ${marker}
');
`
      .replace('\\! touch', '\\\\! touch')
      .replace('\\unrestrict', '\\\\unrestrict');
    const text = `--\n-- PostgreSQL database dump\n--\n${body}\n--\n-- PostgreSQL database dump complete\n--\n`;
    await writeFile(path, text);
    const { database } = await bed.load(path);
    expect((await bed.sql('SELECT count(*) FROM public.t', database)).trim()).toBe('3');
    expect(existsSync(marker)).toBe(false);
  });
});

const { postgres15, postgres18 } = testbed;
describe.skipIf(!postgres15 || !postgres18)('from one major to another', () => {
  it.each([
    [15, 18],
    [18, 15],
  ])('a script of %i loads into %i', async (from, to) => {
    const [source, target] = from === 15 ? [postgres15, postgres18] : [postgres18, postgres15];
    if (!source || !target) return;
    await using sourceBed = await ScriptBed.create(source);
    await using targetBed = await ScriptBed.create(target);
    const rich = await sourceBed.rich();
    // The roles exist on the target too, under the same names.
    for (const role of rich.roles) {
      await targetBed.sql(`CREATE ROLE "${role.replaceAll('"', '""')}"`);
    }
    try {
      const path = await sourceBed.dump(rich.database);
      const summary = await inspectScript(path, { serverMajor: to, signal: never });
      const { database, result } = await targetBed.load(path, { leaveOut: LEAVE_OUT });
      await targetBed.applyOwnership(database, result, to);
      expect(result.copyRows).toBe(
        summary.tables.reduce((sum, table) => sum + (table.rows ?? 0), 0),
      );
      const count = await targetBed.sql('SELECT count(*) FROM sales."order"', database);
      expect(count.trim()).toBe('2858');
      await targetBed.sql(`DROP DATABASE "${database}" WITH (FORCE)`);
    } finally {
      for (const role of rich.roles) {
        await targetBed.sql(`DROP ROLE IF EXISTS "${role.replaceAll('"', '""')}"`);
      }
    }
  });
});
