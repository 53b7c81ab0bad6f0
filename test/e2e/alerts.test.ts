import { writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { backupHealth, readBackupStatus } from '../../src/core/requests/backup-status.ts';
import { HttpSink } from '../support/http-sink.ts';
import { SqliteStack } from '../support/sqlite-stack.ts';

let stack: SqliteStack;
let sink: HttpSink;
beforeAll(async () => {
  [stack, sink] = await Promise.all([SqliteStack.create(), HttpSink.start()]);
});
afterAll(async () => {
  await stack?.[Symbol.asyncDispose]();
  await sink?.[Symbol.asyncDispose]();
});
beforeEach(() => {
  sink.received.length = 0;
  sink.always = undefined;
});

const SECRET = 'aws-secret-0123456789';

/** Alerts, as `event title`, and pings, as `ping kind`, of what came so far. */
function told(): string[] {
  return sink.received.map(({ path, body }) => {
    const ping = /^\/ping(\/\w+)?/.exec(path);
    if (ping) return `ping ${ping[1]?.slice(1) ?? 'success'}`;
    const { event, title } = JSON.parse(body);
    return `${event} ${title}`;
  });
}
const alerts = () => told().filter((line) => !line.startsWith('ping'));
const pings = () => told().filter((line) => line.startsWith('ping'));

const settings = () => ({
  ALERT_WEBHOOK_URL: sink.url('/hook'),
  ALERT_PING_URL: sink.url('/ping'),
  AWS_SECRET_ACCESS_KEY: SECRET,
  AWS_ACCESS_KEY_ID: 'aws-key-0123456789',
});

test('a backup that fails, fails again, and works again', async () => {
  const fails = { ...settings(), BACKUP_PRE_HOOK: `echo "cannot: ${SECRET}" >&2; exit 1` };
  expect((await stack.run('db-backup', ['--once'], fails)).code).toBe(1);
  expect((await stack.run('db-backup', ['--once'], fails)).code).toBe(1);
  const { code, output } = await stack.run('db-backup', ['--once'], settings());
  expect(code, output).toBe(0);
  // Three processes, and the trouble is told once.
  expect(alerts()).toEqual([
    'backup-failed backup failed: BACKUP_PRE_HOOK exited with code 1: cannot: ***',
    expect.stringMatching(/^backup-recovered backups work again: app_\w+, \d+ bytes$/),
  ]);
  const ends = pings().filter((line) => line !== 'ping start');
  expect(ends).toEqual(['ping fail', 'ping fail', 'ping success']);
  expect(sink.received.find(({ path }) => path.startsWith('/ping/fail'))?.body).toMatch(
    /hook\/failed.*\*\*\*/,
  );
  expect(sink.received.at(-1)?.body + (sink.received.at(-2)?.body ?? '')).toContain(
    'backup listed',
  );
  for (const { body } of sink.received) expect(body).not.toContain(SECRET);
});

test('a run that is killed is told by the next start, though that makes no backup', async () => {
  const hangs = { ...settings(), BACKUP_PRE_HOOK: 'echo in hand; sleep 600' };
  const killed = stack.start('db-backup', ['--once'], hangs);
  await killed.says(/in hand/);
  killed.kill('SIGKILL');
  await killed.exited;
  sink.received.length = 0;
  const daemon = stack.start('db-backup', [], { ...settings(), BACKUP_ON_START: 'false' });
  await daemon.until('the alert', () => alerts()[0]);
  const status = await daemon.until('its status', async () => {
    const kept = await readBackupStatus(stack.bench.path('backups', '.dropback', 'app'));
    return kept?.lastFailure?.error.code === 'backup/cut-short' ? kept : undefined;
  });
  expect(backupHealth(status, new Date())).toBe('degraded');
  await daemon.stop();
  // Known once, it is told once; what it was writing just then goes with the next run of any process.
  const notes = ['backups', '.dropback', 'app'];
  await writeFile(stack.bench.path(...notes, '.status.json.7eb187ff6f01.tmp'), 'torn');
  expect((await stack.run('db-backup', ['--once'], settings())).code).toBe(0);
  const left = (await stack.bench.files(...notes)).filter((name) => /tmp$|^run-/.test(name));
  expect(left).toEqual([]);
  expect(alerts()).toEqual([
    expect.stringMatching(/^backup-failed backup failed: the backup begun at \S+ was cut short/),
    expect.stringMatching(/^backup-recovered backups work again/),
  ]);
});

test('a backup that is found bad by hand is told by the daemon, which tells once what it finds itself', async () => {
  await using own = await SqliteStack.create();
  const rehearsing = { ...settings(), BACKUP_VERIFY: 'restore', BACKUP_ON_START: 'false' };
  const wrong = { ...rehearsing, BACKUP_VERIFY_SQL: 'SELECT count(*) = 4 FROM t' };
  const failed = () => alerts().filter((line) => line.startsWith('verification-failed'));
  expect((await own.run('dropback', ['backup'])).code).toBe(0);
  const verified = await own.run('dropback', ['verify', '--restore'], wrong);
  expect(verified.code, verified.output).toBe(1);
  const daemon = own.start('db-backup', [], rehearsing);
  await daemon.until('the alert of what was found by hand', () => failed()[0]);
  await daemon.stop();
  expect(failed()).toEqual([expect.stringMatching(/ is not good: .*count/)]);

  sink.received.length = 0;
  expect((await own.run('dropback', ['backup'])).code).toBe(0);
  const finder = own.start('db-backup', [], wrong);
  await finder.until('the alert of its own', () => failed()[0]);
  await finder.stop();
  const again = own.start('db-backup', [], wrong);
  await again.says(/next backup/);
  await again.stop();
  expect(failed()).toEqual([expect.stringMatching(/ does not restore as it should: .*count/)]);
}, 120_000);

test('receivers that hang hold up neither a backup nor a restore', async () => {
  sink.always = 'hang';
  const once = stack.start('db-backup', ['--once'], {
    ...settings(),
    // Something to tell beside the pings.
    BACKUP_POST_HOOK: 'exit 1',
  });
  // Who waited for a receiver would wait for a day.
  await once.says(/backup listed/);
  sink.always = 200;
  sink.endConnections();
  expect((await once.exited).code, once.output).toBe(0);
  sink.received.length = 0;
  sink.always = 'hang';

  const daemon = stack.start('db-restore', [], settings());
  const [manifest] = await stack.bench.manifests();
  if (!manifest) throw new Error('no backup');
  await stack.bench.drop(stack.bench.archivePath(manifest));
  const name = manifest.archive.file;
  const report = await daemon.until('a report', () => stack.bench.report(name));
  expect(report.outcome, daemon.output).toBe('restored');
  await daemon.until('the first alert', () => alerts()[0]);

  // They are there again: what was told meanwhile comes, in order.
  sink.always = 503;
  sink.endConnections();
  await daemon.stop();
  sink.received.length = 0;
  sink.always = undefined;
  const next = stack.start('db-restore', [], settings());
  await writeFile(stack.bench.path('bad.sql'), 'SELECT 1; SELECT');
  await stack.bench.drop(stack.bench.path('bad.sql'));
  await next.until('the alerts', () =>
    alerts().some((line) => line.startsWith('restore-failed')) ? true : undefined,
  );
  expect(alerts().map((line) => line.replace(/_\d{8}T\d{6}Z\S*/, ''))).toEqual([
    'restore-started restore started: app',
    'restore-done restored: app',
    'restore-failed restore refused: bad.sql',
  ]);
  await next.stop();
});

test('`dropback alert --test` tells what each way said', async () => {
  const good = await stack.run('dropback', ['alert', '--test'], settings());
  expect(good.code, good.output).toBe(0);
  expect(told().sort()).toEqual(['ping log', expect.stringMatching(/^test /)]);
  const message = sink.received.find(({ path }) => path === '/hook');
  const { source } = JSON.parse(message?.body ?? '{}') as { source: { database: string } };
  expect(source.database).toMatch(/^sqlite:\/\/\/\/.+\.db$/);
  sink.always = 404;
  const bad = await stack.run('dropback', ['alert', '--test'], settings());
  expect(bad.code).toBe(1);
  expect(bad.output).toMatch(/FAILED.*webhook.*HTTP 404/);
  const none = await stack.run('dropback', ['alert', '--test']);
  expect(none.code).toBe(1);
  expect(none.output).toContain('ALERT_WEBHOOK_URL');
});
