import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteBucketPolicyCommand,
  DeleteObjectCommand,
  GetObjectRetentionCommand,
  ListObjectVersionsCommand,
  PutBucketPolicyCommand,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { lookAtNewestCopy } from '../../src/backup/lost-copies.ts';
import { prune } from '../../src/backup/prune.ts';
import { Uploads } from '../../src/backup/uploads.ts';
import { parseBackupConfig } from '../../src/core/config/backup.ts';
import { type Logger, silentLogger } from '../../src/core/observability/log.ts';
import { systemClock } from '../../src/core/runtime/clock.ts';
import { LocalStore } from '../../src/core/stores/local/store.ts';
import { S3Store } from '../../src/core/stores/s3/store.ts';
import { sampleBackup } from '../support/backups.ts';
import { failureOf } from '../support/failure.ts';
import { TestPrefix } from '../support/s3.ts';
import { s3Environment } from '../support/sqlite-stack.ts';
import { type TestS3, testbed } from '../support/testbed.ts';

const never = new AbortController().signal;

function listeningLogger() {
  const warnings: { text: string; hint: string }[] = [];
  const log: Logger = Object.assign(Object.create(silentLogger()), {
    warn: ({ error }: { error: { hint: string } }, text: string) =>
      warnings.push({ text, hint: error.hint }),
  });
  return { log, warnings };
}

/** A real endpoint (radosgw) with Object Lock, and thus versioning, and a policy against deleting. */
describe.skipIf(!testbed.s3)('a bucket with Object Lock in which nothing may be deleted', () => {
  const given = testbed.s3 as TestS3;
  const s3 = { ...given, bucket: `dropback-test-lock-${Date.now()}` };
  let prefix: TestPrefix;
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dropback-s3-'));
    prefix = new TestPrefix(s3);
    const input = { Bucket: s3.bucket, ObjectLockEnabledForBucket: true };
    await prefix.client.send(new CreateBucketCommand(input));
  });
  afterAll(async () => {
    const { client } = prefix;
    const Bucket = s3.bucket;
    await client.send(new DeleteBucketPolicyCommand({ Bucket }));
    const { Versions, DeleteMarkers } = await client.send(
      new ListObjectVersionsCommand({ Bucket }),
    );
    for (const { Key, VersionId } of [...(Versions ?? []), ...(DeleteMarkers ?? [])]) {
      await client.send(
        new DeleteObjectCommand({ Bucket, Key, VersionId, BypassGovernanceRetention: true }),
      );
    }
    await client.send(new DeleteBucketCommand({ Bucket }));
    client.destroy();
    await rm(folder, { recursive: true });
  });

  const forbid = (...actions: string[]) => {
    const Resource = [`arn:aws:s3:::${s3.bucket}/*`];
    const Statement = [{ Effect: 'Deny', Principal: '*', Action: actions, Resource }];
    const Policy = JSON.stringify({ Version: '2012-10-17', Statement });
    return prefix.client.send(new PutBucketPolicyCommand({ Bucket: s3.bucket, Policy }));
  };
  const open = () =>
    new S3Store(prefix.config({ objectLock: { mode: 'GOVERNANCE', days: 1 } }), 'app', {
      log: silentLogger(),
    });

  test('backups are locked; retention tells once what to do, and nothing is half removed', async () => {
    await using remote = open();
    const local = new LocalStore(join(folder, 'app'), 'app');
    const made = [];
    for (const hour of [1, 2, 3]) {
      const at = new Date(Date.UTC(2026, 10, 22, hour));
      const backup = await sampleBackup(join(folder, `${hour}`), { at, bytes: 5000 });
      await remote.publish(backup.manifest, { path: backup.path }, never);
      made.push(backup.manifest);
    }
    const [oldest] = made;
    const Key = prefix.key(oldest?.archive.file ?? '');
    const { Retention } = await prefix.client.send(
      new GetObjectRetentionCommand({ Bucket: s3.bucket, Key }),
    );
    expect(Retention?.Mode).toBe('GOVERNANCE');

    await forbid('s3:DeleteObject', 's3:DeleteObjectVersion');
    const { log, warnings } = listeningLogger();
    const config = parseBackupConfig({
      DATABASE_URL: 'sqlite:////data/app.db',
      BACKUP_NAME: 'app',
      ...s3Environment(s3, prefix.prefix),
      S3_KEEP_LAST: '1',
      S3_KEEP_DAILY: '0',
      S3_KEEP_WEEKLY: '0',
      S3_KEEP_MONTHLY: '0',
    });
    const told = new Set<string>();
    const deps = { config, local, remote, clock: systemClock, log };
    for (let run = 0; run < 3; run++) await prune(deps, false, never, told);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]?.text).toMatch(/may not delete/);
    expect(warnings[0]?.hint).toMatch(/S3_PRUNE=false.*lifecycle rule/);
    expect((await remote.list(never)).backups).toEqual(made);
    expect((await failureOf(remote.remove(made[0] as never, never))).code).toBe('store/refused');

    const deletion = (await remote.checks(never)).find(({ id }) => id === 's3/delete');
    expect(deletion).toMatchObject({ status: 'warning', hint: warnings[0]?.hint });

    // With the right to delete, a removal that never began is not taken up again without a plan.
    await prefix.client.send(new DeleteBucketPolicyCommand({ Bucket: s3.bucket }));
    expect((await remote.sweep(never)).removed).toEqual([]);
    expect((await remote.list(never)).backups).toEqual(made);
    expect((await prefix.files()).filter((file) => file.includes('removing'))).toEqual([]);
    await prune(deps, false, never, told);
    expect((await remote.list(never)).backups).toEqual(made.slice(-1));
    // What is locked is still there, as an older version.
    const { Versions } = await prefix.client.send(
      new ListObjectVersionsCommand({ Bucket: s3.bucket, Prefix: Key }),
    );
    expect(Versions).toHaveLength(1);
  });

  test('a bucket that refuses to be listed is told as that, not as one where nothing may be deleted', async () => {
    const credentials = { accessKeyId: s3.accessKeyId, secretAccessKey: 'another' };
    const settings = prefix.config({ credentials });
    await using remote = new S3Store(settings, 'app', { log: silentLogger() });
    const local = new LocalStore(join(folder, 'refused', 'app'), 'app');
    const { log, warnings } = listeningLogger();
    const config = parseBackupConfig({
      DATABASE_URL: 'sqlite:////data/app.db',
      BACKUP_NAME: 'app',
      ...s3Environment(s3, prefix.prefix),
    });
    const deps = { config, local, remote, clock: systemClock, log };
    await prune(deps, false, never, new Set());
    expect(warnings).toHaveLength(1);
    expect(warnings[0]?.text).toBe('retention could not be carried out');
    expect(warnings[0]?.hint).toMatch(/AWS_SECRET_ACCESS_KEY/);
  });

  test('a newest copy that somebody hid behind delete markers is found out, and goes up again', async () => {
    await using remote = open();
    const name = 'app';
    const local = new LocalStore(join(folder, 'hidden', name), name);
    const log = silentLogger();
    const config = parseBackupConfig({
      DATABASE_URL: 'sqlite:////data/app.db',
      BACKUP_NAME: name,
      S3_PRUNE: 'false',
      ...s3Environment(s3, prefix.prefix),
    });
    const at = new Date(Date.UTC(2026, 10, 22, 4));
    const { manifest, path } = await sampleBackup(join(folder, 'newest'), { at, bytes: 5000 });
    await local.publish(manifest, { path }, never);
    const deps = { config, local, remote, clock: systemClock, log };
    const uploads = new Uploads(deps);
    expect((await uploads.drain(never)).uploaded).toEqual([manifest.id]);
    expect((await lookAtNewestCopy(deps, never)).again).toEqual([]);
    await prefix.drop(manifest.archive.file);
    await prefix.drop(`${manifest.id}.json`);
    expect((await lookAtNewestCopy(deps, never)).again).toEqual([manifest]);
    expect((await uploads.drain(never)).uploaded).toEqual([manifest.id]);
    await remote.verify(manifest, never);
    const Prefix = prefix.key(manifest.archive.file);
    const { Versions } = await prefix.client.send(
      new ListObjectVersionsCommand({ Bucket: s3.bucket, Prefix }),
    );
    expect(Versions).toHaveLength(2);
  });
});
