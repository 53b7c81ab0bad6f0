import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { PostgresStack } from '../support/postgres-stack.ts';
import { canMount, SmallDisk } from '../support/small-disk.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { servers } from '../support/testbed.ts';
import { RestoreBed } from './postgres-restore-bed.ts';

vi.setConfig({ testTimeout: 240_000 });

const dump = (body: string) =>
  `--\n-- PostgreSQL database dump\n--\n\n${body}\n\n--\n-- PostgreSQL database dump complete\n--\n`;

describe.each(servers)(
  'a server that goes away while it is loaded: PostgreSQL $major',
  (server) => {
    test('the drop waits for it, is loaded anew, and nothing of the first attempt stays', async () => {
      await using stack = await PostgresStack.create(server);
      const { bed } = stack;
      await bed.sql('CREATE TABLE t (i int); INSERT INTO t VALUES (1), (2)');
      await using proxy = await TcpProxy.reserve(server);
      await proxy.open();
      const DATABASE_URL = stack.url().replace(/@[^/]+\//, `@127.0.0.1:${proxy.port}/`);
      const daemon = await stack.restoreDaemon({ DATABASE_URL });
      const slow =
        'CREATE TABLE public.t (i int);\nSELECT pg_catalog.pg_sleep(4);\nINSERT INTO public.t VALUES (1);';
      const { path } = await bed.script(dump(slow));
      await stack.bench.drop(path, 'slow.sql');
      const loading = `SELECT count(*) FROM pg_stat_activity
      WHERE usename LIKE 'dropback_load_%' AND query LIKE '%pg_sleep%' AND datname IN
        (SELECT datname FROM pg_database d WHERE shobj_description(d.oid, 'pg_database') LIKE '%${bed.live}%')`;
      await daemon.until('the load', async () =>
        (await bed.value(loading, 'postgres')) === '1' ? true : undefined,
      );
      await proxy.close();
      await daemon.says(/waiting for the database|trying again/);
      expect(await bed.value('SELECT count(*) FROM public.t')).toBe('2');
      await delay(500);
      await proxy.open();
      const report = await stack.filed(daemon, 'slow.sql');
      expect(report, daemon.output).toMatchObject({ outcome: 'restored', attempts: 2 });
      expect(await bed.value('SELECT count(*) FROM public.t')).toBe('1');
      // What could not be removed while the server was away is swept.
      const left = `SELECT (SELECT count(*) FROM pg_roles
        WHERE shobj_description(oid, 'pg_authid') LIKE '%${bed.live}%') + (SELECT count(*)
         FROM pg_database WHERE shobj_description(oid, 'pg_database') LIKE 'dropback%${bed.live}%')`;
      await expect.poll(() => bed.value(left, 'postgres'), { timeout: 60_000 }).toBe('0');
    });
  },
);

describe.runIf(canMount).each(servers)('the volume of PostgreSQL $major', (server) => {
  test('nearly full where it is watched: the load ends, nothing stays, the live one does', async () => {
    using disk = new SmallDisk(4);
    await using bed = await RestoreBed.create(server);
    await bed.sql('CREATE TABLE t (i int); INSERT INTO t VALUES (1), (2)');
    const drop = await bed.dump('postgres-custom', bed.live);
    const watched = bed.engine({ serverDataDir: disk.path });
    await expect(bed.restore(watched, drop)).rejects.toMatchObject({
      code: 'disk/full',
      message: expect.stringContaining(disk.path),
    });
    expect(await bed.leftovers()).toEqual([]);
    expect(await bed.value('SELECT count(*) FROM public.t')).toBe('2');
  });
});
