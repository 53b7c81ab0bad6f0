import { writeFile } from 'node:fs/promises';
import Database from 'better-sqlite3';
import { describe, expect, test, vi } from 'vitest';
import { TestPrefix } from '../support/s3.ts';
import { S3FaultProxy } from '../support/s3-fault-proxy.ts';
import { SqliteStack, s3Environment } from '../support/sqlite-stack.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { type TestS3, testbed } from '../support/testbed.ts';

const { s3 } = testbed;

// An endpoint that is away is asked again and again before an upload counts as failed.
vi.setConfig({ testTimeout: 180_000 });

/** The endpoint behind a port that can be closed. */
async function switchable(given: TestS3): Promise<{ proxy: TcpProxy; endpoint: string }> {
  const { hostname, port } = new URL(given.endpoint);
  const proxy = await TcpProxy.reserve({ host: hostname, port: Number(port) });
  return { proxy, endpoint: `http://127.0.0.1:${proxy.port}` };
}

describe.skipIf(!s3)('db-backup with S3', () => {
  const given = s3 as TestS3;

  test.concurrent('archive and manifest go to both, and `dropback list` shows both', async () => {
    await using prefix = new TestPrefix(s3);
    await using stack = await SqliteStack.create();
    const remote = s3Environment(given, prefix.prefix);
    expect(await stack.run('db-backup', ['--once'], remote)).toMatchObject({ code: 0 });
    const [manifest] = await stack.bench.manifests();
    expect(await prefix.files()).toEqual(
      [manifest?.archive.file ?? '', `${manifest?.id}.json`].toSorted(),
    );
    const list = await stack.run('dropback', ['list'], remote);
    expect(list.code, list.output).toBe(0);
    expect(list.output).toMatch(new RegExp(`^${manifest?.id} .*local \\+ s3$`, 'm'));
    const doctor = await stack.run('dropback', ['doctor', '--for', 'backup'], remote);
    expect(doctor.code, doctor.output).toBe(0);
    expect(doctor.output).toMatch(/^ok .*s3\//m);
    const wrongKey = { ...remote, AWS_SECRET_ACCESS_KEY: 'not-the-secret' };
    const refused = await stack.run('dropback', ['doctor', '--for', 'backup'], wrongKey);
    expect(refused.code, refused.output).toBe(1);
    expect(refused.output).toMatch(/^FAILED .*s3\//m);
    expect(refused.output).not.toContain('not-the-secret');
  });

  test.concurrent('while S3 is down a backup counts as not uploaded; a restart brings it there', async () => {
    await using prefix = new TestPrefix(s3);
    await using stack = await SqliteStack.create();
    const { endpoint, proxy } = await switchable(given);
    await using _ = proxy;
    const away = s3Environment(given, prefix.prefix, endpoint);
    const once = await stack.run('db-backup', ['--once'], away);
    expect(once.code, once.output).toBe(1);
    expect(once.output).toMatch(/^error backup\/not-uploaded: .* is listed, but not uploaded/m);
    const [manifest] = await stack.bench.manifests();
    const list = await stack.run('dropback', ['list'], away);
    expect(list.code).toBe(1);
    expect(list.output).toContain(`${manifest?.id}`);
    expect(list.output).toContain('local (not uploaded)');
    expect(list.output).toMatch(/^error s3: /m);

    const back = stack.start('db-backup', [], s3Environment(given, prefix.prefix));
    await back.says(/"uploaded"/);
    expect(await prefix.files()).toContain(`${manifest?.id}.json`);
    expect(await back.stop()).toMatchObject({ code: 0 });
    expect(await stack.bench.manifests()).toHaveLength(1);
  });

  test.concurrent('a running daemon drains by itself once S3 is back', async () => {
    await using prefix = new TestPrefix(s3);
    await using stack = await SqliteStack.create();
    const { endpoint, proxy } = await switchable(given);
    await using _ = proxy;
    const keepOne = {
      BACKUP_KEEP_LAST: '1',
      BACKUP_KEEP_DAILY: '0',
      BACKUP_KEEP_WEEKLY: '0',
      BACKUP_KEEP_MONTHLY: '0',
    };
    const daemon = stack.start('db-backup', [], {
      ...s3Environment(given, prefix.prefix, endpoint),
      ...keepOne,
      BACKUP_INTERVAL_SECONDS: '10',
    });
    await daemon.says(/upload failed, \d+ not uploaded/, 100_000);
    // What isn't uploaded isn't pruned, whatever the policy.
    await daemon.until('two backups', async () =>
      (await stack.bench.manifests()).length >= 2 ? true : undefined,
    );
    const waiting = await stack.bench.manifests();
    expect(await prefix.files()).toEqual([]);
    await proxy.open();
    await daemon.until('both in S3', async () => {
      const there = await prefix.files();
      return waiting.every(({ id }) => there.includes(`${id}.json`)) || undefined;
    });
    // Now that it is uploaded, retention takes what is old.
    await daemon.until('the old one gone', async () =>
      (await stack.bench.manifests()).some(({ id }) => id === waiting[0]?.id) ? undefined : true,
    );
    expect(await daemon.stop()).toMatchObject({ code: 0 });
    expect((await stack.bench.manifests()).length).toBeGreaterThan(0);
  });

  test.concurrent('S3_UPLOAD_LIMIT is that of all databases of DATABASES_FILE together', async () => {
    await using prefix = new TestPrefix(s3);
    await using stack = await SqliteStack.create();
    await using proxy = await S3FaultProxy.start(given.endpoint);
    const most = 700_000;
    const bytes = 1_000_000;
    const names = ['one', 'two'];
    const path = (name: string) => stack.bench.path('data', `${name}.db`);
    for (const name of names) {
      const file = new Database(path(name));
      file.exec(`CREATE TABLE t (b BLOB); INSERT INTO t VALUES (randomblob(${bytes}))`);
      file.close();
    }
    const entry = (name: string) => `${name}: { DATABASE_URL: "sqlite:///${path(name)}" }\n`;
    await writeFile(stack.bench.path('databases.yml'), names.map(entry).join(''));
    const both = {
      DATABASE_URL: '',
      BACKUP_NAME: '',
      DATABASES_FILE: stack.bench.path('databases.yml'),
    };
    // Both have something to upload when the daemon starts: at the same time, then.
    expect(await stack.run('db-backup', ['--once'], both)).toMatchObject({ code: 0 });
    const begun: number[] = [];
    const ended: number[] = [];
    proxy.inject({
      when({ method, url }) {
        if (method === 'PUT' && /Z\.db/.test(url)) begun.push(performance.now());
        if (method === 'PUT' && /Z\.json/.test(url)) ended.push(performance.now());
        return false;
      },
      fault: { kind: 'hang' },
    });
    const daemon = stack.start('db-backup', [], {
      ...s3Environment(given, prefix.prefix, proxy.endpoint),
      ...both,
      S3_UPLOAD_LIMIT: `${most}`,
    });
    await daemon.until('both uploaded', async () => ended.length === 2 || undefined, 120_000);
    expect(await daemon.stop()).toMatchObject({ code: 0 });
    expect(begun).toHaveLength(2);
    const seconds = (Math.max(...ended) - Math.min(...begun)) / 1000;
    // Some of it is on its way before the first request is seen. With limits of their own they take half as long.
    expect(seconds * most).toBeGreaterThan(1.6 * bytes);
  });
});
