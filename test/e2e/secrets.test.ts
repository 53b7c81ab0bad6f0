import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { type EchoServer, echoHttp, echoPostgres } from '../support/echo-servers.ts';
import { SqliteStack } from '../support/sqlite-stack.ts';

vi.setConfig({ testTimeout: 120_000 });

const PASSWORD = 'pg/p+w "é" 7f3a';
const S3_KEY = 'AKIADEADBEEF0042';
const S3_SECRET = 's3/secret+c0ffee/0123456789';
const S3_TOKEN = 'session+token/feedface==0042';
const WEBHOOK_PATH = 'T0000/B0000/h00k-t0ken-cafe';
const WEBHOOK_TOKEN = 'bearer-t0ken-babe';

/** What must be nowhere; of each a piece that no way of writing it changes, too. */
const SECRETS = [
  ...[PASSWORD, 'é" 7f3a', S3_KEY, S3_SECRET, 'c0ffee', S3_TOKEN, 'feedface'],
  ...['h00k-t0ken-cafe', WEBHOOK_TOKEN],
  ...[PASSWORD, S3_SECRET, S3_TOKEN, WEBHOOK_TOKEN].flatMap((secret) => [
    encodeURIComponent(secret),
    JSON.stringify(secret).slice(1, -1),
    Buffer.from(`app:${secret}`).toString('base64').slice(8, -4),
  ]),
];

describe('servers that repeat every secret as they refuse it', () => {
  let stack: SqliteStack;
  let database: EchoServer;
  let s3: EchoServer;
  let webhook: EchoServer;
  beforeAll(async () => {
    stack = await SqliteStack.create();
    [database, s3, webhook] = await Promise.all([
      echoPostgres(),
      echoHttp('application/xml', [S3_KEY, S3_SECRET, S3_TOKEN]),
      echoHttp('text/html', [WEBHOOK_TOKEN]),
    ]);
    await writeFile(stack.bench.path('password'), `${PASSWORD}\n`);
  });
  afterAll(async () => {
    for (const one of [database, s3, webhook, stack]) await one?.[Symbol.asyncDispose]();
  });

  const environment = () => ({
    S3_BUCKET: 'backups',
    S3_ENDPOINT: `http://127.0.0.1:${s3.port}`,
    AWS_ACCESS_KEY_ID: S3_KEY,
    AWS_SECRET_ACCESS_KEY: S3_SECRET,
    AWS_SESSION_TOKEN: S3_TOKEN,
    ALERT_WEBHOOK_URL: `http://127.0.0.1:${webhook.port}/services/${WEBHOOK_PATH}`,
    ALERT_WEBHOOK_TOKEN: WEBHOOK_TOKEN,
    LOG_LEVEL: 'trace',
  });
  /** Run to its end; all that it said, and all that lies in the stack's folders but databases. */
  const told = async (
    program: 'db-backup' | 'dropback',
    args: readonly string[],
    extra: Readonly<Record<string, string>>,
  ) => {
    await using run = new Daemon(program, stack.environment({ ...environment(), ...extra }), args);
    const { code } = await run.exited;
    const folder = stack.bench.path('backups');
    const files = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
    const texts = files
      .filter((file) => file.isFile() && file.name.endsWith('.json'))
      .map((file) => readFile(join(file.parentPath, file.name), 'utf8'));
    return {
      code,
      output: run.output,
      all: [run.output, ...(await Promise.all(texts))].join('\n'),
    };
  };
  const expectNone = (text: string) => {
    for (const secret of SECRETS) expect(text).not.toContain(secret);
  };

  test('a database: no word of it on a terminal, in a log or in a note', async () => {
    const extra = {
      DATABASE_URL: `postgresql://app@127.0.0.1:${database.port}/app?sslmode=disable&password=${encodeURIComponent(PASSWORD)}`,
    };
    const doctor = await told('dropback', ['doctor', '--for', 'backup'], extra);
    expect(doctor.code).toBe(1);
    expect(doctor.output).toContain('refused the login');
    expectNone(doctor.all);
    const once = await told('db-backup', ['--once'], {
      ...extra,
      DATABASE_URL: '',
      ...{
        PGHOST: '127.0.0.1',
        PGPORT: String(database.port),
        PGUSER: 'app',
        PGSSLMODE: 'disable',
      },
      ...{ PGDATABASE: 'app', PGPASSWORD_FILE: stack.bench.path('password') },
    });
    expect(once.code).toBe(1);
    expect(once.all).toContain('refused the login: [***]');
    expectNone(once.all);
    expect(database.refused()).toBeGreaterThan(1);
  });

  test('S3 and a receiver of alerts: nor in a state, nor in an alert that waits', async () => {
    const { code, all } = await told('db-backup', ['--once'], {});
    expect(code).toBe(1);
    expect((await stack.bench.manifests()).length).toBe(1);
    expect(all).toMatch(/AccessDenied: \[\*\*\*\]/);
    expectNone(all);
    const seen = await told('dropback', ['status'], {});
    expect(seen.output).toContain('AccessDenied');
    expectNone(seen.all);
    expect(s3.refused()).toBeGreaterThan(0);
    expect(webhook.refused()).toBeGreaterThan(0);
  });
});
