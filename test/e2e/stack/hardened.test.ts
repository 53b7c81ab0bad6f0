import { chown, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newAgeKey } from '../../support/age.ts';
import { buildImage, docker, findEngine, testImage } from './engine.ts';
import { Stack, until, user } from './stack.ts';

const engine = await findEngine();

/** Prints what is posted to it, on the network that db-restore is not in. */
const receiverFile = `
services:
  receiver:
    image: ${testImage}
    entrypoint: [node, -e]
    command:
      - >-
        require('http').createServer(async (q, r) => { let b = ''; for await (const c of q) b += c;
        console.log(b); r.end(); }).listen(9000)
    init: true
`;

const settings = { ALERT_WEBHOOK_URL: 'http://receiver:9000/hook' };

describe.skipIf(!engine)('the hardened overlay', () => {
  let stack: Stack;

  beforeAll(async () => {
    await buildImage();
    const names = ['prod', 'backup', 'hardened', 'receiver'];
    stack = await Stack.create({
      files: names.map((name) => `docker/compose.${name}.yml`),
      profiles: ['postgres'],
      settings,
      extraFiles: { 'docker/compose.receiver.yml': receiverFile },
    });
    await stack.compose(['up', '--build', '-d']);
    await until('the application', async () => (await stack.fetch()).status === 200, 400);
  }, 900_000);

  afterAll(async () => {
    await stack?.[Symbol.asyncDispose]();
  }, 120_000);

  test('db-restore has no socket and no way out', async () => {
    const { stdout } = await docker(['inspect', stack.name('db-restore')]);
    const [{ Mounts: mounts, NetworkSettings: network }] = JSON.parse(stdout);
    const targets = mounts.map((mount: { Destination: string }) => mount.Destination).sort();
    expect(targets).toEqual(['/backups', '/restore']);
    const networks = [`${stack.project}_alerts`, `${stack.project}_restore`];
    expect(Object.keys(network.Networks).sort()).toEqual(networks);
    for (const name of ['web:8000', 'gateway:8080', '1.1.1.1:443']) {
      const [host, port] = name.split(':');
      const script = `exec 3<>/dev/tcp/${host}/${port}`;
      const tried = await stack.exec('db-restore', ['timeout', '4', 'bash', '-c', script], {
        check: false,
      });
      expect({ name, reached: tried.code === 0 }).toEqual({ name, reached: false });
    }
    const database = 'exec 3<>/dev/tcp/postgres/5432';
    expect((await stack.exec('db-restore', ['bash', '-c', database])).code).toBe(0);
  }, 120_000);

  test.each([
    ['GET', '/containers/json'],
    ['GET', '/containers/POSTGRES/json'],
    ['POST', '/containers/create'],
    ['POST', '/containers/POSTGRES/stop'],
    ['POST', '/v1.41/containers/POSTGRES/start'],
    ['POST', '/containers/WEB/stop/../../POSTGRES/stop'],
    ['POST', '/containers/WEB%2F..%2FPOSTGRES/stop'],
    ['POST', '/containers/WEB/exec'],
    ['POST', '/containers/WEB/kill'],
    ['POST', '/containers/WEB/stop?t=1&signal=KILL'],
    ['GET', '/containers/WEB/archive?path=/etc/passwd'],
    ['DELETE', '/containers/WEB'],
    ['GET', '/images/json'],
    ['POST', '/build'],
  ])('the proxy refuses %s %s', async (method, path) => {
    const before = await stack.startTimes();
    const real = path.replace('WEB', stack.name('web')).replace('POSTGRES', stack.name('postgres'));
    expect(await ask(stack, method, real)).toBe(403);
    expect(await stack.startTimes()).toEqual(before);
  });

  test('the proxy passes inspect of the listed container', async () => {
    expect(await ask(stack, 'GET', `/v1.41/containers/${stack.name('web')}/json`)).toBe(200);
  });

  test('a restore works', async () => {
    await stack.addRecords('kept', 500);
    const archive = await stack.backUp();
    await stack.removeRecords();
    const before = await stack.startTimes();
    await stack.drop(archive);
    const report = await until(
      'the restore',
      async () => Object.values(await stack.reports('done')).at(0),
      90,
    );
    expect(report.outcome).toBe('restored');
    expect(await stack.countRecords()).toBe(500);
    const after = await stack.startTimes();
    // db-restore can't send it: db-backup has fetched it and posted it.
    const receiver = await until('the alert', async () => {
      const posted = await stack.logs('receiver');
      return posted.includes('restore-done') ? posted : undefined;
    });
    expect(receiver).toMatch(/"restore-started".*"program":"db-restore"/);
    const changed = Object.keys(before).filter((name) => before[name] !== after[name]);
    expect(changed).toEqual([`/${stack.name('web')}`]);
  }, 150_000);

  // As the README has it: recipients for the one, the key's file for the other.
  test('an encrypted backup, dropped, is restored; nothing but /tmp can be written beside the volumes', async () => {
    const key = newAgeKey();
    const keyFile = join(stack.folder, 'restore/age.key');
    await writeFile(keyFile, key.identity.text, { mode: 0o600 });
    await chown(keyFile, user.uid, user.gid);
    await stack.configure({
      ...settings,
      BACKUP_AGE_RECIPIENTS: key.recipient,
      RESTORE_AGE_IDENTITY: '/restore/age.key',
    });
    await stack.compose(['up', '-d', 'db-backup', 'db-restore']);
    for (const service of ['db-backup', 'db-restore']) {
      const { stdout } = await docker(['inspect', stack.name(service)]);
      const [{ HostConfig: host }] = JSON.parse(stdout);
      expect(host).toMatchObject({ ReadonlyRootfs: true, Tmpfs: { '/tmp': expect.anything() } });
    }
    await stack.removeRecords();
    await stack.addRecords('kept', 300);
    const archive = await stack.backUp();
    expect(basename(archive)).toMatch(/\.dump\.zst\.age$/);
    expect(await readFile(archive, 'latin1')).toMatch(/^age-encryption\.org\/v1\n-> X25519 /);
    await stack.removeRecords();
    await stack.drop(archive);
    const report = await until(
      'the restore',
      async () => {
        const all = { ...(await stack.reports('done')), ...(await stack.reports('failed')) };
        return Object.entries(all).find(([name]) => name.includes('.age'))?.[1];
      },
      120,
    );
    expect(report).toMatchObject({ outcome: 'restored' });
    expect(await stack.countRecords()).toBe(300);
  }, 240_000);
});

/** Sends a request as it is, without tidying up the path; returns the status. */
async function ask(stack: Stack, method: string, path: string): Promise<number> {
  const script =
    'exec 3<>/dev/tcp/docker-proxy/2375; printf "%s %s HTTP/1.0\\r\\nHost: docker\\r\\n\\r\\n" "$0" "$1" >&3; read -r -t 10 line <&3; echo "$line"';
  const { stdout } = await stack.exec('db-restore', ['bash', '-c', script, method, path]);
  return Number(stdout.split(' ')[1]);
}
