import { randomInt } from 'node:crypto';
import { copyFile, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { TestPrefix } from '../support/s3.ts';
import { SqliteStack, s3Environment } from '../support/sqlite-stack.ts';
import { testbed } from '../support/testbed.ts';

// Generous: other test files load the machine.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

function jsonOf({ output }: { output: string }) {
  return JSON.parse(output.slice(output.search(/^[[{]/m)));
}

const keepAll = { BACKUP_KEEP_LAST: '100' };

describe('dropback verify, prune and status', () => {
  let stack: SqliteStack;
  beforeAll(async () => {
    stack = await SqliteStack.create();
  });
  afterAll(async () => {
    await stack?.[Symbol.asyncDispose]();
  });

  const backup = async (extra: Record<string, string> = keepAll) => {
    const made = await stack.run('dropback', ['backup'], extra);
    expect(made.code, made.output).toBe(0);
  };

  test('nothing is no proof', async () => {
    const all = await stack.run('dropback', ['verify', '--all']);
    expect(all).toMatchObject({ code: 3, output: expect.stringContaining('no backups') });
    expect((await stack.run('dropback', ['verify'])).code).toBe(3);
    const status = await stack.run('dropback', ['status']);
    expect(status).toMatchObject({ code: 4, output: expect.stringContaining('no backup yet') });
    expect((await stack.run('dropback', ['prune', '-n'])).code).toBe(0);
    const other = { DROPBACK_DAEMON: 'db-restore' };
    const elsewhere = await stack.run('dropback', ['verify'], other);
    expect(elsewhere).toMatchObject({ code: 3, output: expect.stringContaining('exec db-backup') });
  });

  test('a good one, by id, latest and all, restored too; its state says so', async () => {
    await backup();
    await backup();
    const [first, second] = await stack.bench.manifests();
    if (!first || !second) throw new Error('two backups were made');
    const sql = { BACKUP_VERIFY_SQL: 'SELECT count(*) = 3 FROM t; SELECT max(i) = 3 FROM t' };
    const all = await stack.run('dropback', ['verify', '--all', '--restore'], sql);
    expect(all.code, all.output).toBe(0);
    expect(all.output.match(/^ok .*restored as a test, 3 rows in 1 table, /gm)).toHaveLength(2);
    const one = jsonOf(await stack.run('dropback', ['verify', first.id, '--json']));
    expect(one).toMatchObject({
      reports: [{ id: first.id, where: 'local', kind: 'archive', status: 'ok' }],
      unasked: [],
    });
    const path = stack.bench.path('backups', 'app', `${first.id}.state.json`);
    const state = JSON.parse(await readFile(path, 'utf8'));
    expect(state.verifications).toEqual([
      expect.objectContaining({ kind: 'archive', status: 'ok' }),
      expect.objectContaining({ kind: 'archive', status: 'ok' }),
      expect.objectContaining({ kind: 'restore', status: 'ok', tables: 1, rows: 3 }),
      expect.objectContaining({ kind: 'archive', status: 'ok' }),
    ]);
    expect((await stack.run('dropback', ['verify', 'app_20200101T000000Z'])).code).toBe(3);
    expect((await stack.run('dropback', ['verify', first.id, '--all'])).code).toBe(3);
    // Nothing of the rehearsals is left, and nothing of ours is taken for a stray.
    const own = await readdir(stack.bench.path('backups', '.dropback', 'app'));
    expect(own.filter((name) => name.startsWith('verify-'))).toEqual([]);
    expect((await stack.run('dropback', ['list'])).output).not.toContain('left alone');
  });

  test('what is not so is a failure; what cannot be done is none', async () => {
    const sql = { BACKUP_VERIFY_SQL: 'SELECT count(*) = 4 FROM t' };
    const wrong = await stack.run('dropback', ['verify', '--restore'], sql);
    expect(wrong.code, wrong.output).toBe(1);
    expect(wrong.output).toContain('verify/assertion-failed');
    const list = await stack.run('dropback', ['list']);
    expect(list.output).toMatch(/in doubt\n(.*\n)*.*failed: verify\/assertion-failed$/m);
    // The newest is in doubt: nothing goes, whatever the policy says.
    const few = { BACKUP_KEEP_LAST: '1', ...keepNothingElse };
    const held = await stack.run('dropback', ['prune'], few);
    expect(held.output).toContain('nothing is removed: the newest backup');
    expect(await stack.bench.manifests()).toHaveLength(2);
    const status = await stack.run('dropback', ['status']);
    expect(status).toMatchObject({ code: 4, output: expect.stringContaining('unhealthy') });
    const noQuery = await stack.run('dropback', ['verify', '--restore'], {
      BACKUP_VERIFY_SQL: 'SELEKT 1',
    });
    expect(noQuery.code, noQuery.output).toBe(75);
    const good = await stack.run('dropback', ['verify', '--restore']);
    expect(good.code, good.output).toBe(0);
  });

  test('prune tells what it keeps and why, then does it', async () => {
    const few = { BACKUP_KEEP_LAST: '1', ...keepNothingElse };
    const [first, second] = await stack.bench.manifests();
    const plan = await stack.run('dropback', ['prune', '--dry-run'], few);
    expect(plan.code, plan.output).toBe(0);
    const line = (verb: string, id = '', why = '') =>
      new RegExp(`^ +${verb} +${id} .*${why}$`, 'm');
    expect(plan.output).toMatch(
      line('keep', second?.id, 'newest, newest verified, .*last 1 of 1.*'),
    );
    expect(plan.output).toMatch(line('remove', first?.id, 'no rule keeps it'));
    expect(await stack.bench.manifests()).toHaveLength(2);
    const done = await stack.run('dropback', ['prune', '--json'], few);
    expect(jsonOf(done)).toMatchObject([{ where: 'local', dryRun: false, removed: [first?.id] }]);
    expect(await stack.bench.manifests()).toEqual([second]);
  });

  test('nothing goes after a failed run, whoever asks', async () => {
    await backup();
    const few = { BACKUP_KEEP_LAST: '1', ...keepNothingElse };
    const own = stack.bench.path('backups', '.dropback', 'app');
    // What db-backup leaves when its database was away.
    const error = { code: 'database/unreachable', message: 'it is away', hint: 'look' };
    const status = {
      program: 'db-backup',
      name: 'app',
      database: 'sqlite',
      lastFailure: { at: new Date().toISOString(), error },
      failuresSinceGood: 1,
      overdueAfter: new Date(Date.now() + 3_600_000).toISOString(),
    };
    await writeFile(join(own, 'status.json'), JSON.stringify(status));
    const held = await stack.run('dropback', ['prune'], few);
    expect(held.output).toContain('nothing is removed: the last run failed');
    const told = await stack.run('dropback', ['status']);
    expect(told.code).toBe(4);
    expect(told.output).toContain('! the last run failed: it is away');
    await rm(join(own, 'status.json'));
    const done = await stack.run('dropback', ['prune'], few);
    expect(done.output).not.toContain('nothing is removed');
    expect(done.output).toMatch(/keep .* newest that was restored as a test$/m);
  });

  test('nor after a `dropback backup` that failed, though no daemon was there', async () => {
    await backup();
    const few = { BACKUP_KEEP_LAST: '1', ...keepNothingElse };
    const gone = { DATABASE_URL: `sqlite:///${stack.bench.path('data', 'gone.db')}` };
    const name = { BACKUP_NAME: 'app' };
    const failed = await stack.run('dropback', ['backup'], { ...gone, ...name });
    expect(failed.code, failed.output).not.toBe(0);
    const held = await stack.run('dropback', ['prune'], { ...few, ...name });
    expect(held.output).toContain('nothing is removed: the last run failed');
    const told = await stack.run('dropback', ['status'], name);
    expect(told.output).toContain('! the last run failed:');
    await backup();
    const done = await stack.run('dropback', ['prune'], { ...few, ...name });
    expect(done.output).not.toContain('nothing is removed');
  });

  test('status: at a glance, and as JSON', async () => {
    await backup();
    const shown = await stack.run('dropback', ['status']);
    expect(shown.code, shown.output).toBe(0);
    expect(shown.output).toMatch(/^app {2}sqlite:.*app\.db {2}healthy$/m);
    expect(shown.output).toMatch(
      /^ {2}last good +app_\d{8}T\d{6}Z, .* ago, \d+ B, 3 rows in 1 table/m,
    );
    expect(shown.output).toMatch(/^ {2}verified +read back .* ago .*; restored as a test .* ago/m);
    expect(shown.output).toMatch(/^ {2}size +[▁-█]{3} /m);
    expect(shown.output).toMatch(/^ {2}kept local +3 backups, /m);
    const json = jsonOf(await stack.run('dropback', ['status', '--json']));
    expect(json.databases).toEqual([
      expect.objectContaining({ name: 'app', health: 'healthy', problems: [] }),
    ]);
  });

  test('one changed byte, anywhere in archive or manifest, is found', async () => {
    const manifest = (await stack.bench.manifests()).at(-1);
    if (!manifest) throw new Error('there is a backup');
    const archive = stack.bench.archivePath(manifest);
    const seal = stack.bench.path('backups', 'app', `${manifest.id}.json`);
    // Every byte in test/unit/verify; here through the program as users run it.
    for (const path of [archive, seal]) {
      const { size } = await stat(path);
      for (const offset of [randomInt(0, size - 1), size - 1]) {
        await flip(path, offset);
        const found = await stack.run('dropback', ['verify']);
        await flip(path, offset);
        expect(found.code, `byte ${offset} of ${path}: ${found.output}`).toBe(1);
        expect(found.output).toContain(manifest.id);
      }
    }
    expect((await stack.run('dropback', ['verify'])).code).toBe(0);
    const aside = `${archive}.aside`;
    await copyFile(archive, aside);
    await rm(archive);
    const gone = await stack.run('dropback', ['verify', manifest.id]);
    expect(gone).toMatchObject({ code: 1, output: expect.stringContaining('without its archive') });
    await copyFile(aside, archive);
    await rm(aside);
  });
});

describe.skipIf(!testbed.s3)('dropback verify in S3', () => {
  test('both copies are read; one bad one is told; S3 alone is enough to restore from', async () => {
    const s3 = testbed.s3;
    if (!s3) return;
    await using stack = await SqliteStack.create();
    await using prefix = new TestPrefix(s3);
    const remote = s3Environment(s3, prefix.prefix);
    const run = (...args: string[]) => stack.run('dropback', args, remote);
    const made = await run('backup');
    expect(made.code, made.output).toBe(0);
    const [manifest] = await stack.bench.manifests();
    if (!manifest) throw new Error(made.output);
    const both = await run('verify');
    expect(both.code, both.output).toBe(0);
    expect(both.output).toMatch(/^ok .*local: [\s\S]*^ok .*s3: /m);
    const status = await run('status');
    expect(status.output).toContain('everything is uploaded');

    const content = await readFile(stack.bench.archivePath(manifest));
    const spoilt = Buffer.from(content);
    spoilt[100] = (spoilt[100] ?? 0) ^ 1;
    await prefix.put(manifest.archive.file, spoilt);
    const bad = await run('verify', 'latest', '--restore');
    expect(bad.code, bad.output).toBe(1);
    expect(bad.output).toMatch(/^ok .*local: every/m);
    expect(bad.output).toMatch(/^FAILED .*s3: /m);
    expect(bad.output).toMatch(/^ok .*local: restored as a test/m);

    await prefix.put(manifest.archive.file, content);
    await rm(stack.bench.path('backups', 'app'), { recursive: true });
    const alone = await run('verify', manifest.id, '--restore');
    expect(alone.code, alone.output).toBe(0);
    expect(alone.output).toMatch(/^ok .*s3: restored as a test, 3 rows in 1 table/m);
    expect(await stack.bench.files('backups', 'app')).toEqual([`${manifest.id}.state.json`]);

    const shut = { ...remote, AWS_SECRET_ACCESS_KEY: 'another' };
    const unasked = await stack.run('dropback', ['verify', '--all'], shut);
    expect(unasked.code, unasked.output).toBe(75);
    expect(unasked.output).toContain('not asked');
  });
});

const keepNothingElse = {
  BACKUP_KEEP_DAILY: '0',
  BACKUP_KEEP_WEEKLY: '0',
  BACKUP_KEEP_MONTHLY: '0',
};

/** Changes one bit of one byte; done twice, it is as before. */
async function flip(path: string, offset: number): Promise<void> {
  await using file = await open(path, 'r+');
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, offset);
  await file.write(Buffer.from([(buffer[0] ?? 0) ^ 0x20]), 0, 1, offset);
}

test('what a rehearsal does not cover is told, then and by status', async () => {
  await using stack = await SqliteStack.create();
  const database = new DatabaseSync(stack.database);
  database.function('mine', { deterministic: true }, (_value) => 1);
  database.exec('CREATE TABLE own (a); CREATE INDEX by_mine ON own (mine(a))');
  try {
    expect((await stack.run('dropback', ['backup'])).code).toBe(0);
    const verified = await stack.run('dropback', ['verify', '--restore']);
    expect(verified.code, verified.output).toBe(0);
    expect(verified.output).toMatch(/restored as a test, in part, 3 rows/);
    const line = /not covered:? +table own could not be checked/;
    expect(verified.output).toMatch(line);
    const status = await stack.run('dropback', ['status']);
    expect(status.output).toMatch(/restored as a test, in part /);
    expect(status.output).toMatch(line);
  } finally {
    database.close();
  }
});
