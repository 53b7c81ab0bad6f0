import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFile, open, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { newAgeKey } from '../support/age.ts';
import { PlaintextWatch } from '../support/plaintext-watch.ts';
import { expectEqual, sampleDatabase } from '../support/postgres-samples.ts';
import { PostgresStack } from '../support/postgres-stack.ts';
import { TestPrefix } from '../support/s3.ts';
import { SqliteStack, s3Environment } from '../support/sqlite-stack.ts';
import { servers, type TestS3, testbed } from '../support/testbed.ts';

// Some seconds each; a machine that is busy otherwise may take many times that.
vi.setConfig({ testTimeout: 240_000 });

const { s3 } = testbed;
const given = s3 as TestS3;
const key = newAgeKey();
const spare = newAgeKey();
const recipients = { BACKUP_AGE_RECIPIENTS: `${key.recipient},${spare.recipient}` };
const marker = `marker-${randomBytes(16).toString('hex')}`;

async function keyFile(bench: { path(...parts: string[]): string }, text: string, name: string) {
  const path = bench.path(name);
  await writeFile(path, text, { mode: 0o600 });
  return { RESTORE_AGE_IDENTITY: path };
}

describe.skipIf(!s3)('SQLite, encrypted', () => {
  test('backed up without plaintext, listed, verified as far as may be, restored from S3', async () => {
    await using prefix = new TestPrefix(s3);
    await using stack = await SqliteStack.create();
    const { bench } = stack;
    stack.sql(`CREATE TABLE secret (name TEXT); INSERT INTO secret VALUES ('${marker}')`);
    stack.sql('CREATE TABLE filler AS SELECT randomblob(4000000) AS b');
    const remote = { ...s3Environment(given, prefix.prefix), ...recipients };
    const identity = await keyFile(bench, spare.identity.text, 'age.key');

    await using watch = new PlaintextWatch(marker, bench.path('backups'), bench.path('restore'));
    const once = await stack.run('db-backup', ['--once'], remote);
    expect(once.code, once.output).toBe(0);
    expect(await watch.end()).toEqual([]);
    const [manifest] = await bench.manifests();
    if (!manifest) throw new Error('no backup is listed');
    expect(manifest.archive.file).toMatch(/\.db\.zst\.age$/);
    expect(manifest.archive.encryption?.recipients).toEqual([key.recipient, spare.recipient]);
    expect(await prefix.files()).toEqual([manifest.archive.file, `${manifest.id}.json`].toSorted());

    // Anybody who has the key restores it by hand.
    const commands = manifest.restoreByHand.join(' && ');
    const said = execFileSync(
      'sh',
      ['-ec', commands.replace(/^#.*? && /, '').replace('KEY', '../../age.key')],
      {
        cwd: bench.path('backups', 'app'),
        encoding: 'utf8',
      },
    );
    expect(said).toMatch(/ok\s*$/);
    expect(stack.rows(bench.path('backups', 'app', 'NEW.db'))).toBe('1,2,3');
    // The watch is no blind one.
    await using other = new PlaintextWatch(marker, bench.path('backups'));
    expect((await other.end()).length).toBe(2);
    await rm(bench.path('backups', 'app', 'NEW.db'));

    const verified = await stack.run('dropback', ['verify', '--all'], remote);
    expect(verified.code, verified.output).toBe(0);
    expect(verified.output).toContain('but not decrypted');
    const listed = await stack.run('dropback', ['list'], remote);
    expect(listed.output).toMatch(new RegExp(`^${manifest.id} .* age$`, 'm'));
    const status = await stack.run('dropback', ['status'], remote);
    expect(status.output).toMatch(/last good .*, encrypted$/m);
    const rehearsed = await stack.run('dropback', ['verify', '--restore'], remote);
    expect(rehearsed.code, rehearsed.output).not.toBe(0);
    expect(rehearsed.output).toMatch(/verify\/encrypted.*\n?.*dropback check|dropback check/);
    const doctor = await stack.run('dropback', ['doctor', '--for', 'backup'], remote);
    expect(doctor.output).toMatch(/^ok .*encryption\/recipients/m);

    // Another machine: nothing but the bucket and the key.
    await rm(bench.path('backups', 'app'), { recursive: true });
    stack.sql('DELETE FROM t; DELETE FROM secret; DELETE FROM filler');
    const from = { ...s3Environment(given, prefix.prefix), ...identity };
    await using daemon = await stack.restoreDaemon(from);
    const checked = await stack.run('dropback', ['check', 'latest'], from);
    expect(checked.code, checked.output).toBe(0);
    expect(stack.rows()).toBe('');
    const restored = await stack.run('dropback', ['restore', 'latest'], from);
    expect(restored.code, `${restored.output}\n${daemon.output}`).toBe(0);
    expect(stack.rows()).toBe('1,2,3');
    await using after = new PlaintextWatch(marker, bench.path('backups'), bench.path('restore'));
    expect((await after.end()).filter((line) => !line.includes('/previous/'))).toEqual([]);
    expect(await readdir(bench.path('restore', 'work'))).toEqual([]);
    expect(daemon.output + once.output + restored.output).not.toContain('AGE-SECRET-KEY');
  });

  test('without the key, with another one, or damaged, it is refused and nothing changes', async () => {
    await using stack = await SqliteStack.create();
    const { bench } = stack;
    const once = await stack.run('db-backup', ['--once'], recipients);
    expect(once.code, once.output).toBe(0);
    const [manifest] = await bench.manifests();
    const archive = manifest ? bench.archivePath(manifest) : '';
    stack.sql('DELETE FROM t WHERE i = 2');

    const refused = async (environment: Record<string, string>, path: string, name: string) => {
      const daemon = await stack.restoreDaemon(environment);
      await bench.drop(path, name);
      const report = await daemon.until(`a report on ${name}`, () => bench.report(name));
      expect(report.outcome, JSON.stringify(report)).toBe('refused');
      expect(stack.rows()).toBe('1,3');
      await daemon.stop();
      return report.error;
    };
    const none = await refused({}, archive, 'none.db.zst.age');
    expect(none).toMatchObject({ code: 'drop/no-identity' });
    expect(none?.hint).toContain('RESTORE_AGE_IDENTITY');
    const wrong = await keyFile(bench, newAgeKey().identity.text, 'wrong.key');
    expect(await refused(wrong, archive, 'wrong.db.zst.age')).toMatchObject({
      code: 'drop/wrong-identity',
    });
    const damaged = bench.path('damaged');
    await copyFile(archive, damaged);
    await using file = await open(damaged, 'r+');
    const { size } = await file.stat();
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, size - 100);
    await file.write(Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, size - 100);
    const right = {
      ...(await keyFile(bench, key.identity.text, 'age.key')),
      RESTORE_SETTLE_SECONDS: '1',
    };
    expect(await refused(right, damaged, 'damaged.db.zst.age')).toMatchObject({
      code: 'drop/corrupt',
    });
    const doctor = await stack.run('dropback', ['doctor', '--for', 'restore'], right);
    expect(doctor.output).toMatch(/^ok .*encryption\/identity/m);
  });
});

describe('SQLite, encrypted, killed in the middle', () => {
  test('neither daemon leaves plaintext behind where there was none', async () => {
    await using stack = await SqliteStack.create();
    const { bench } = stack;
    stack.sql(`CREATE TABLE secret (name TEXT); INSERT INTO secret VALUES ('${marker}')`);
    stack.sql('CREATE TABLE filler AS SELECT randomblob(40000000) AS b');
    const copies = async () =>
      (await bench.files('data')).filter((name) => name.includes('.dropback_'));

    await using watch = new PlaintextWatch(marker, bench.path('backups'));
    const killed = stack.start('db-backup', ['--once'], recipients);
    await killed.until('a copy', async () => ((await copies()).length > 0 ? true : undefined));
    killed.kill('SIGKILL');
    await killed.exited;
    expect(await bench.manifests()).toEqual([]);
    const once = await stack.run('db-backup', ['--once'], recipients);
    expect(once.code, once.output).toBe(0);
    expect(await copies()).toEqual([]);
    expect(await watch.end()).toEqual([]);

    const identity = await keyFile(bench, key.identity.text, 'age.key');
    const [manifest] = await bench.manifests();
    if (!manifest) throw new Error('no backup is listed');
    const work = async () => await readdir(bench.path('restore', 'work'), { recursive: true });
    stack.sql('DELETE FROM t');
    const first = await stack.restoreDaemon(identity);
    await bench.drop(bench.archivePath(manifest), 'app.db.zst.age');
    const isUnpacked = async () => (await work()).some((name) => name.endsWith('/content'));
    await first.until('the content', async () => ((await isUnpacked()) ? true : undefined));
    first.kill('SIGKILL');
    await first.exited;
    const second = await stack.restoreDaemon(identity);
    const report = await second.until('a report', () => bench.report('app.db.zst.age'));
    expect(report.outcome, JSON.stringify(report)).toBe('restored');
    expect(stack.rows()).toBe('1,2,3');
    await second.until('an empty work folder', async () =>
      (await work()).length === 0 ? true : undefined,
    );
  });
});

describe.skipIf(!s3)('PostgreSQL, encrypted', () => {
  test('backed up without plaintext; restored from S3 by another machine', async () => {
    const server = servers.at(-1);
    if (!server) throw new Error('the test bed has no server');
    await using prefix = new TestPrefix(s3);
    await using stack = await PostgresStack.create(server);
    const { bed, bench } = stack;
    const { database } = await sampleDatabase(bed, 'rich');
    await bed.tool(
      'psql',
      ['-qc', `CREATE TABLE public.secret AS SELECT '${marker}' AS name`],
      database,
    );
    const wanted = await bed.picture(database);
    const remote = { ...s3Environment(given, prefix.prefix), DATABASE_URL: stack.url(database) };

    await using watch = new PlaintextWatch(marker, bench.path('backups'), bench.path('restore'));
    const archive = await stack.backup({ ...remote, ...recipients, BACKUP_JOBS: '2' });
    expect(await watch.end()).toEqual([]);
    expect(archive).toMatch(/\.dump\.zst\.age$/);

    await rm(join(bench.path('backups'), 'app'), { recursive: true });
    const identity = await keyFile(bench, key.identity.text, 'age.key');
    const from = { ...s3Environment(given, prefix.prefix), ...identity };
    await using daemon = await stack.restoreDaemon(from);
    const restore = stack.cli(['restore', 'latest'], from);
    expect((await restore.exited).code, `${restore.output}\n${daemon.output}`).toBe(0);
    expectEqual(await bed.picture(bed.live), wanted, 'own');
    expect(await readdir(bench.path('restore', 'work'))).toEqual([]);
  });
});
