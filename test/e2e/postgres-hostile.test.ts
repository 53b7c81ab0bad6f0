import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { PostgresStack } from '../support/postgres-stack.ts';
import { servers } from '../support/testbed.ts';

// Some seconds each; a machine that is busy otherwise may take many times that.
vi.setConfig({ testTimeout: 240_000 });

const dump = (body: string) =>
  `--\n-- PostgreSQL database dump\n--\n\n${body}\n\n--\n-- PostgreSQL database dump complete\n--\n`;

test.for(servers)('hostile drops are refused, PostgreSQL $major goes on', async (server) => {
  await using stack = await PostgresStack.create(server);
  const { bed } = stack;
  await bed.admin.query(`ALTER DATABASE ${bed.live} OWNER TO postgres`);
  await bed.sql('CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
  const drop = async (name: string, body: string) => {
    const path = join(bed.folder, name);
    await writeFile(
      path,
      dump(`CREATE TABLE public.t (i int);\nINSERT INTO public.t VALUES (2);\n${body}`),
    );
    return path;
  };
  const sleeps = await drop('sleeps.sql', 'SELECT pg_catalog.pg_sleep(100000);');
  const says = await drop(
    'says.sql',
    `DO $$ BEGIN RAISE EXCEPTION E'\\x1b[31mred\\x1b]0;title\\x07\\u202e\\n% ', repeat('x', 100000); END $$;`,
  );
  const names = await drop(
    'names.sql',
    `CREATE TABLE public."a
\\! touch x; DROP ""TABLE"" '$$\x1b[2J" (i int);
COMMENT ON TABLE public.t IS E'\\x1b[31m\\n\\\\! touch x';`,
  );
  {
    await using daemon = await stack.restoreDaemon({ RESTORE_TIMEOUT_SECONDS: '8' });
    const late = await stack.dropped(daemon, sleeps);
    expect(late).toMatchObject({ outcome: 'refused', error: { code: 'drop/takes-too-long' } });
    expect(await bed.leftovers()).toEqual([]);
  }
  const daemon = await stack.restoreDaemon({ LOG_FORMAT: 'text' });
  const said = await stack.dropped(daemon, says);
  expect(said).toMatchObject({ outcome: 'refused', error: { code: 'drop/does-not-load' } });
  expect(said.error?.message.length).toBeLessThan(3000);
  expect(await bed.value('SELECT i FROM public.t')).toBe('1');
  expect(await stack.restored(daemon, names)).toMatchObject({ outcome: 'restored' });
  expect(await bed.value('SELECT i FROM public.t')).toBe('2');
  // Nothing of it steers the terminal of whoever reads the log.
  expect(daemon.output.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u202e]/u);
});
