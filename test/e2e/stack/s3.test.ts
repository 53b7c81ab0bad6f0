import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newAgeKey } from '../../support/age.ts';
import { buildImage, docker, findEngine } from './engine.ts';
import { Stack, until } from './stack.ts';

const image = 'dropback-test/s3:latest';
const engine =
  (await findEngine()) && (await docker(['image', 'inspect', image], { check: false })).code === 0;

const keys = { id: 'teststackkey', secret: 'a-secret-of-the-stack' };

const endpoint = `
services:
  s3:
    image: ${image}
    environment:
      S3_ACCESS_KEY: ${keys.id}
      S3_SECRET_KEY: ${keys.secret}
`;

const settings = {
  S3_BUCKET: 'backups',
  S3_PREFIX: 'stack',
  S3_ENDPOINT: 'http://s3:7480',
  S3_REGION: 'us-east-1',
  AWS_ACCESS_KEY_ID: keys.id,
  AWS_SECRET_ACCESS_KEY: keys.secret,
  BACKUP_ON_START: 'false',
};

/** Run in the image: there is no other S3 client in the stack. */
const makeBucket = `
  import { createRequire } from 'node:module';
  const { S3Client, CreateBucketCommand } = createRequire('/app/')('@aws-sdk/client-s3');
  const client = new S3Client({ endpoint: 'http://s3:7480', region: 'us-east-1', forcePathStyle: true });
  for (let i = 0; ; i++) {
    try { await client.send(new CreateBucketCommand({ Bucket: 'backups' })); break; } catch (error) {
      if (error.name === 'BucketAlreadyOwnedByYou') break;
      if (i > 60) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }`;

describe.skipIf(!engine)('S3 inside the stack', () => {
  let stack: Stack;

  beforeAll(async () => {
    await buildImage();
    stack = await Stack.create({
      files: ['docker/compose.prod.yml', 'docker/compose.backup.yml', 'docker/s3.yml'],
      profiles: ['postgres', 'verify'],
      extraFiles: { 'docker/s3.yml': endpoint },
      settings: {
        ...settings,
        BACKUP_VERIFY: 'restore',
        BACKUP_VERIFY_URL: 'postgresql://verify:5432',
      },
    });
    await stack.compose(['up', '--build', '-d']);
    await until('the application', async () => (await stack.fetch()).status === 200, 400);
    await stack.exec('db-backup', [
      'entrypoint.sh',
      'node',
      '--input-type=module',
      '-e',
      makeBucket,
    ]);
  }, 900_000);

  afterAll(async () => {
    await stack?.[Symbol.asyncDispose]();
  }, 120_000);

  test('a backup is restored as a test on the server of the profile, not on production', async () => {
    await until(
      'the server for it',
      async () => (await stack.inspect('verify')).health === 'healthy',
    );
    const made = await stack.exec('db-backup', ['dropback', 'backup']);
    expect(made.stdout).toContain('verified');
    const scratch = ['psql', '-U', 'app', '-d', 'postgres', '-XAtqc'];
    const facts = await stack.exec('verify', [
      ...scratch,
      "SELECT current_setting('fsync'), (SELECT count(*) FROM pg_database WHERE datname LIKE 'dropback%')",
    ]);
    expect(facts.stdout.trim()).toBe('off|0');
    const verify = ['dropback', 'verify', '--restore'];
    const good = await stack.exec('db-backup', verify);
    expect(good.stdout).toMatch(/^ok .*local: restored as a test, \d+ rows? in \d+ tables?/m);
    await stack.compose(['stop', '-t', '5', 'verify']);
    const without = await stack.exec('db-backup', verify, { check: false });
    expect(without.code, without.stdout).toBe(75);
    expect(without.stdout).toContain('database/unreachable');
    await stack.compose(['start', 'verify']);
    await until('it again', async () => (await stack.inspect('verify')).health === 'healthy');
  }, 240_000);

  test('restore latest, after ./backups was emptied', async () => {
    await stack.addRecords('kept', 1000);
    await stack.exec('db-backup', ['dropback', 'backup']);
    const listed = await stack.exec('db-restore', ['dropback', 'list', '--json']);
    expect(listed.stdout).toMatch(/s3/i);
    await stack.removeRecords();
    for (const path of await stack.backups()) {
      await rm(join(path, '..'), { recursive: true, force: true });
    }
    expect(await stack.backups()).toEqual([]);
    await stack.exec('db-restore', ['dropback', 'restore', 'latest']);
    await until('the records', async () => (await stack.countRecords()) === 1000);
  }, 240_000);

  // docs/disaster-recovery.md, as it stands there.
  test('the host is lost: compose files, env file, bucket and age identity bring the application back', async () => {
    const key = newAgeKey();
    const identity = /^AGE-SECRET-KEY-.*$/m.exec(key.identity.text)?.[0] ?? '';
    await stack.configure({
      ...settings,
      BACKUP_AGE_RECIPIENTS: key.recipient,
      RESTORE_AGE_IDENTITY: identity,
    });
    await stack.compose(['rm', '-sf', 'verify']);
    await stack.compose(['up', '-d', 'db-backup', 'db-restore']);
    await stack.removeRecords();
    await stack.addRecords('kept', 700);
    await stack.sql(
      'CREATE ROLE report LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO report',
    );
    const tables = await stack.sql(tablesOfReport);
    expect(tables).not.toBe('');
    await stack.exec('db-backup', ['dropback', 'backup']);

    const services = ['gateway', 'web', 'postgres', 'db-backup', 'db-restore'];
    await stack.compose(['rm', '-sfv', ...services]);
    const { stdout: volumes } = await stack.docker([
      'volume',
      'ls',
      '-q',
      '--filter',
      `name=${stack.project}_`,
    ]);
    const lost = volumes.split('\n').filter((name) => /postgres/.test(name));
    expect(lost.length).toBeGreaterThan(0);
    await stack.docker(['volume', 'rm', ...lost]);
    for (const folder of ['backups', 'restore']) {
      await rm(join(stack.folder, folder), { recursive: true, force: true });
    }

    await stack.compose(['up', '-d', 'postgres', 'web', 'gateway', 'db-restore']);
    await until('an empty application', async () => (await stack.countRecords()) === 0, 200);
    const restored = await stack.exec('db-restore', ['dropback', 'restore', 'latest', '--globals']);
    expect(restored.stdout).toContain('created the roles that were missing here: "report"');
    await stack.compose(['up', '-d']);
    await until('the records', async () => (await stack.countRecords()) === 700);
    expect(await stack.sql(tablesOfReport)).toBe(tables);
    for (const service of services) {
      const healthy = async () => (await stack.inspect(service)).health === 'healthy';
      await until(`${service} is healthy`, healthy, 120);
    }
  }, 480_000);
});

const tablesOfReport = `
  SELECT string_agg(table_name::text, ',' ORDER BY table_name)
    FROM information_schema.role_table_grants WHERE grantee = 'report'`;
