import { chmod, chown, copyFile, mkdir, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildImage, docker, findEngine, testImage } from './engine.ts';
import { Stack, until, user } from './stack.ts';

const engine = await findEngine();
const isRoot = process.getuid?.() === 0;
/** The application's user. */
const APPLICATION = 10001;

/** A stack whose compose file lies at its own top. */
const composeFile = `
services:
  web:
    image: ${testImage}
    entrypoint: [sleep, infinity]
    init: true
    healthcheck: { disable: true }
  db-backup:
    volumes: [./data:/data]
  db-restore:
    volumes: [./data:/data]
`;

describe.skipIf(!engine)('the image', () => {
  let stack: Stack;
  const waiting = `dropback-e2e-waiting-${process.pid}`;

  beforeAll(async () => {
    await buildImage();
    // Bounded, and long: it goes on beside the other tests.
    const nobody = ['-e', 'DATABASE_URL=postgresql://app@127.0.0.1:9/app'];
    await docker(['run', '-d', '--name', waiting, ...nobody, testImage, 'db-restore']);
    const isMade = async () =>
      (await docker(['exec', waiting, 'ls', '/restore'], { check: false })).stdout;
    await until('its folders', async () => /incoming/.test(await isMade()), 60);
    // A drop that comes while it waits has its folder.
    expect((await docker(['logs', waiting])).stdout).not.toContain('db-restore started');
    stack = await Stack.create({
      files: ['docker-compose.yml', 'docker-compose.backup.yml'],
      settings: { DATABASE_URL: 'sqlite:////data/app.db' },
      extraFiles: { 'docker-compose.yml': composeFile },
    });
    await createDatabase();
    await stack.compose(['up', '-d']);
    await until('a first backup', async () => (await stack.backups()).length > 0, 120);
  }, 600_000);

  afterAll(async () => {
    await docker(['rm', '-f', waiting], { check: false });
    await stack?.[Symbol.asyncDispose]();
  }, 120_000);

  const file = () => join(stack.folder, 'data', 'app.db');
  const count = () => withDatabase((db) => db.prepare('SELECT count(*) FROM t').pluck().get());

  function withDatabase<T>(work: (db: Database.Database) => T): T {
    const db = new Database(file());
    try {
      return work(db);
    } finally {
      db.close();
    }
  }

  async function createDatabase(): Promise<void> {
    await mkdir(join(stack.folder, 'data'));
    withDatabase((db) => db.exec('CREATE TABLE t (i int); INSERT INTO t VALUES (1), (2), (3)'));
    if (!isRoot) return;
    for (const path of [join(stack.folder, 'data'), file()]) {
      await chown(path, APPLICATION, APPLICATION);
    }
  }

  const sh = (script: string, ...options: string[]) =>
    docker(['run', '--rm', ...options, '--entrypoint', 'sh', testImage, '-c', script]);

  test('says what it is, and holds nothing that only its build needs', async () => {
    const { stdout } = await docker(['image', 'inspect', testImage]);
    const [{ Config: config }] = JSON.parse(stdout);
    for (const label of ['title', 'description', 'licenses', 'version', 'revision']) {
      expect(config.Labels[`org.opencontainers.image.${label}`], label).toBeTruthy();
    }
    expect(config.Healthcheck.Test).toEqual(['CMD', 'dropback-healthcheck']);
    const built =
      'ls -d /root/.npm /app/src /app/node_modules/typescript /var/lib/apt/lists/* 2>&-';
    const compilers = 'for p in gcc cc g++ make tsc; do command -v $p; done';
    expect((await sh(`${built}; ${compilers}; true`)).stdout).toBe('');
  }, 60_000);

  test('its build fails for a client that is missing, or whose psql can be escaped', async () => {
    const check = 'node /app/image/check-programs.mjs';
    // The same check that is the last step of the build, on a psql of before the fix.
    const old =
      'd=/usr/lib/postgresql/17/bin; mkdir -p $d; for p in psql pg_dump pg_restore; do ' +
      'printf "#!/bin/sh\\necho \\"$p (PostgreSQL) 17.5\\"\\n" >$d/$p; chmod +x $d/$p; done';
    const { stdout } = await sh(`${check} 9; echo "code $?"; ${old}; ${check} 17; echo "code $?"`);
    expect(stdout.match(/^code \d+$/gm)).toEqual(['code 1', 'code 1']);
    const { stderr } = await sh(`${check} 9; ${old}; ${check} 17; true`);
    expect(stderr).toContain('no client 9');
    expect(stderr).toContain('psql 17.5 is too old');
  }, 60_000);

  test('both services get what they need of the engine, and no more', async () => {
    const ids = [stack.name('db-backup'), stack.name('db-restore')];
    const { stdout } = await docker(['inspect', ...ids]);
    const [backup, restore] = JSON.parse(stdout);
    for (const { HostConfig: host, Config: config } of [backup, restore]) {
      expect(host).toMatchObject({
        ReadonlyRootfs: true,
        Init: true,
        CapDrop: ['ALL'],
        SecurityOpt: ['no-new-privileges:true'],
        Memory: 512 * 1024 ** 2,
        PidsLimit: 256,
        Privileged: false,
      });
      const added = host.CapAdd.map((name: string) => name.replace('CAP_', '')).sort();
      expect(added).toEqual(['CHOWN', 'KILL', 'SETGID', 'SETUID']);
      expect(Object.keys(host.Tmpfs)).toEqual(['/tmp']);
      expect(config.Env.filter((each: string) => each === 'DATABASE_URL=')).toEqual([]);
    }
    const mounts = ({ Mounts }: { Mounts: { Destination: string; RW: boolean }[] }) =>
      Mounts.map(({ Destination, RW }) => `${Destination} ${RW ? 'rw' : 'ro'}`).sort();
    expect(mounts(backup)).toEqual(['/backups rw', '/data rw']);
    const socket = '/var/run/docker.sock rw';
    expect(mounts(restore)).toEqual(['/backups ro', '/data rw', '/restore rw', socket]);
    expect([backup.Config.StopTimeout, restore.Config.StopTimeout]).toEqual([30, 120]);
    const names = (container: { Config: { Env: string[] } }) =>
      container.Config.Env.map((each) => each.split('=')[0]).filter((name) => name !== undefined);
    expect(names(backup).filter((name) => /^(RESTORE_(?!MAINT)|DOCKER_)/.test(name))).toEqual([]);
    expect(names(restore).filter((name) => /^BACKUP_(?!NAME|DIR)/.test(name))).toEqual([]);
  }, 60_000);

  test('what is run by exec has the user, groups and rights of the daemon', async () => {
    const facts = "grep -E '^(Uid|Gid|Groups|CapPrm|CapEff|CapAmb|NoNewPrivs):'";
    const daemon =
      'for p in /proc/[0-9]*; do read -r name <$p/comm; tr "\\0" " " <$p/cmdline | ' +
      `grep -Eq "^node (--[^ ]+ )*/app/dist/bin/$0" && ${facts} $p/status; done; true`;
    for (const service of ['db-backup', 'db-restore']) {
      const own = await stack.exec(service, ['bash', '-c', daemon, service]);
      const entered = await stack.exec(service, [service, '--version']);
      expect(entered.stdout).toMatch(/^\d+\.\d+/);
      const by = await stack.exec(service, [
        'entrypoint.sh',
        'bash',
        '-c',
        `${facts} /proc/self/status`,
      ]);
      expect(own.stdout).toMatch(new RegExp(`^Uid:\\s+${user.uid}\\s+${user.uid}\\s`, 'm'));
      const withoutChown = own.stdout.replaceAll(/^(Cap\w+:\s+)(\w+)$/gm, (_, name, mask) => {
        const kept = BigInt(`0x${mask}`) & ~1n;
        return name + kept.toString(16).padStart(16, '0');
      });
      expect(by.stdout).toBe(withoutChown);
    }
  }, 60_000);

  test('what SQLite needs is known from files that PUID alone may read, too', async () => {
    const container = stack.name('db-backup');
    // Root has no DAC_OVERRIDE there: it can read less than PUID.
    const write = (name: string, text: string) => {
      const script = `umask 077; rm -f /tmp/${name}; printf '%s\\n' '${text}' >/tmp/${name}`;
      return docker(['exec', '-u', `${user.uid}`, container, 'sh', '-c', script]);
    };
    const capabilities = async (variable: string, text: string) => {
      await write(variable, text);
      const environment = ['-e', 'DATABASE_URL=', '-e', `${variable}=/tmp/${variable}`];
      const command = ['entrypoint.sh', 'grep', 'CapEff', '/proc/self/status'];
      const { stdout } = await docker(['exec', ...environment, container, ...command]);
      return BigInt(`0x${stdout.split(':')[1]?.trim()}`) & 0xe0n;
    };
    const postgres = 'postgresql://app@db/app';
    const sqlite = 'sqlite:////data/notes.db';
    expect(await capabilities('DATABASES_FILE', `notes: { DATABASE_URL: "${sqlite}" }`)).toBe(
      0xe0n,
    );
    expect(await capabilities('DATABASES_FILE', `app: { DATABASE_URL: "${postgres}" }`)).toBe(0n);
    expect(await capabilities('DATABASE_URL_FILE', sqlite)).toBe(0xe0n);
    expect(await capabilities('DATABASE_URL_FILE', postgres)).toBe(0n);
    await write('postgres', postgres);
    await write('sqlite', sqlite);
    const inFiles = (...names: string[]) =>
      names.map((name) => `${name}: { DATABASE_URL_FILE: "/tmp/${name}" }`).join('\n');
    expect(await capabilities('DATABASES_FILE', inFiles('postgres', 'sqlite'))).toBe(0xe0n);
    expect(await capabilities('DATABASES_FILE', inFiles('postgres'))).toBe(0n);
  }, 60_000);

  test('its health check needs no Node, and neither curl nor wget', async () => {
    const check = ['env', 'PATH=/nonexistent', '/usr/local/bin/dropback-healthcheck'];
    const healthy = async () =>
      (await stack.exec('db-restore', check, { check: false })).code === 0;
    await until('db-restore is healthy', healthy);
    const closed = ['env', 'HEALTH_PORT=9', ...check.slice(1)];
    expect((await stack.exec('db-restore', closed, { check: false })).code).toBe(1);
  }, 90_000);

  test('each container’s doctor checks its own daemon, and finds nothing', async () => {
    for (const service of ['db-backup', 'db-restore']) {
      // As in a compose file of somebody's own, which names no daemon.
      const { stdout } = await stack.exec(service, [
        'env',
        '-u',
        'DROPBACK_DAEMON',
        'dropback',
        'doctor',
      ]);
      expect(stdout).toContain(`checks, of what ${service} needs: 0 failed, 0 warnings`);
    }
  }, 60_000);

  test('a command in the wrong container says where it belongs', async () => {
    const backup = await stack.exec('db-restore', ['dropback', 'backup'], { check: false });
    expect(backup.code).toBe(1);
    expect(backup.stderr).toContain('docker compose exec db-backup dropback backup');
    for (const command of [['previous'], ['restore', 'latest']]) {
      const asked = await stack.exec('db-backup', ['dropback', ...command], { check: false });
      expect(asked.code).toBe(75);
      expect(asked.stderr).toContain('docker compose exec db-restore dropback');
    }
  }, 60_000);

  test.runIf(isRoot)(
    'a backup that root copied into the drop folder is taken, though root alone may read it',
    async () => {
      withDatabase((db) => db.exec('DELETE FROM t'));
      const archive = await stack.newestArchive();
      const incoming = join(stack.folder, 'restore/incoming');
      await until('the drop folder', async () => (await stat(incoming)).isDirectory());
      const drop = join(incoming, 'by-root.db.zst');
      await copyFile(archive, `${drop}.part`);
      await chmod(`${drop}.part`, 0o600);
      await rename(`${drop}.part`, drop);
      const done = async () => Object.values(await stack.reports('done')).at(0);
      const report = await until('the restore', done, 90);
      expect(report.outcome).toBe('restored');
      expect(count()).toBe(3);
      const filed = await stat(join(stack.folder, 'restore/done/by-root.db.zst'));
      expect([filed.uid, filed.gid]).toEqual([user.uid, user.gid]);
      expect((await stat(file())).uid).toBe(APPLICATION);
    },
    120_000,
  );

  test('usage needs no database; a database that is away is waited for, in bounds and aloud', async () => {
    const { stdout } = await docker(['run', '--rm', testImage, 'db-backup', '--help']);
    expect(stdout).toMatch(/^usage: db-backup /);
    const version = await docker(['run', '--rm', testImage, '--version']);
    expect(version.stdout).toMatch(/^\d+\.\d+\.\d+$/m);
    const log = async () => {
      const { stdout: out, stderr } = await docker(['logs', waiting]);
      return (
        /no database server at 127\.0\.0\.1:9 yet: starting/.test(out + stderr) && out + stderr
      );
    };
    const said = await until('the end of waiting', log, 120);
    expect(said).toContain('waiting for the database server at 127.0.0.1:9');
    await until('the daemon itself', async () =>
      /db-restore started/.test((await docker(['logs', waiting])).stdout),
    );
  }, 180_000);
});
