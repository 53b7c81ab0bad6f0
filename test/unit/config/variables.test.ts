import { describe, expect, it } from 'vitest';
import { parseBackupConfig } from '../../../src/core/config/backup.ts';
import { parseCliConfig } from '../../../src/core/config/cli.ts';
import { type ConfigHost, Environment } from '../../../src/core/config/environment.ts';
import { configProblems } from '../../../src/core/config/problems.ts';
import { parseRestoreConfig } from '../../../src/core/config/restore.ts';
import { secretsOf } from '../../../src/core/config/secrets.ts';
import { variableNames, variables } from '../../../src/core/config/variables.ts';

const files: Record<string, string> = {
  '/secret': 'from file\n',
  '/ca': 'pem',
  '/c': '',
  '/k': '',
  '/age-key': '# created today\nAGE-SECRET-KEY-1ABC\n',
  '/age-locked': 'age-encryption.org/v1\n',
};
const host: ConfigHost = {
  cwd: '/cwd',
  readFile: (path) => {
    const text = files[path];
    if (text === undefined) throw new Error(`ENOENT: ${path}`);
    return text;
  },
  readable: (path) => path in files,
  fileId: () => undefined,
};

const backup = (env: object) =>
  parseBackupConfig({ DATABASE_URL: 'postgresql://app:pw@db/shop', ...env }, host);
const restore = (env: object) =>
  parseRestoreConfig({ DATABASE_URL: 'postgresql://app:pw@db/shop', ...env }, host);

type Env = Record<string, string>;
/** environment, daemon, and what the configuration then holds. */
const good: [Env, typeof backup | typeof restore, object][] = [
  [
    { DATABASE_URL: 'sqlite:///a/app.db' },
    backup,
    { database: { kind: 'sqlite', path: '/cwd/a/app.db' }, name: 'app' },
  ],
  [
    {
      DATABASE_URL: '',
      PGHOST: 'h',
      PGPORT: '6000',
      PGUSER: 'u',
      PGPASSWORD: 'p',
      PGDATABASE: 'd',
      PGSSLMODE: 'verify-ca',
      PGSSLROOTCERT: '/ca',
      PGSSLCERT: '/c',
      PGSSLKEY: '/k',
    },
    backup,
    {
      name: 'd-h-6000',
      database: {
        connection: {
          host: 'h',
          port: 6000,
          user: 'u',
          password: 'p',
          database: 'd',
          sslMode: 'verify-ca',
          sslRootCert: '/ca',
          sslCert: '/c',
          sslKey: '/k',
        },
      },
    },
  ],
  [
    {
      DATABASE_URL: '',
      POSTGRES_HOST: 'h',
      POSTGRES_PORT: '6000',
      POSTGRES_USER: 'u',
      POSTGRES_PASSWORD: 'p',
      POSTGRES_DB: 'd',
    },
    backup,
    {
      database: {
        connection: {
          host: 'h',
          port: 6000,
          user: 'u',
          password: 'p',
          database: 'd',
          sslMode: 'prefer',
        },
      },
    },
  ],
  [
    { DATABASE_URL: '', POSTGRES_HOST: 'h', POSTGRES_PASSWORD: 'p' },
    backup,
    {
      database: {
        connection: { user: 'postgres', database: 'postgres' },
        maintenanceDatabase: 'template1',
      },
    },
  ],
  [
    {
      DATABASE_URL: 'postgresql://app@db/shop',
      PGPASSWORD: 'gap',
      PGUSER: 'other',
      POSTGRES_PASSWORD: 'no',
    },
    backup,
    { database: { connection: { user: 'app', password: 'gap' } } },
  ],
  [{ BACKUP_NAME: 'shop.1' }, backup, { name: 'shop.1' }],
  [{ BACKUP_INTERVAL_SECONDS: '60' }, backup, { schedule: { kind: 'interval', seconds: 60 } }],
  [
    { BACKUP_CRON: '0 3 * * *', TZ: 'Europe/Berlin' },
    backup,
    { schedule: { kind: 'cron', expression: '0 3 * * *', timeZone: 'Europe/Berlin' } },
  ],
  [{ BACKUP_ON_START: 'no' }, backup, { onStart: false }],
  [{ BACKUP_AT_ONCE: '5' }, backup, { atOnce: 5 }],
  [{ BACKUP_DIR: 'b' }, backup, { backupDir: '/cwd/b' }],
  [{ BACKUP_TIMEOUT_SECONDS: '5' }, backup, { timeoutMs: 5000 }],
  [{ BACKUP_JOBS: '4', BACKUP_NICE: '10' }, backup, { jobs: 4, nice: 10 }],
  [
    { BACKUP_EXCLUDE_TABLE_DATA: 'logs.*, "a,b".c ,' },
    backup,
    { excludeTableData: ['logs.*', '"a,b".c'] },
  ],
  [
    { BACKUP_ROW_COUNTS: 'ARCHIVE', BACKUP_VERIFY: 'archive' },
    backup,
    { rowCounts: 'archive', verify: { mode: 'archive', queries: [] } },
  ],
  [
    {
      BACKUP_VERIFY: 'restore',
      BACKUP_VERIFY_URL: 'postgresql://verify:5433',
      BACKUP_VERIFY_CRON: '0 4 * * 7',
      BACKUP_VERIFY_SQL: "SELECT ';' = ';'; -- nothing\n\n SELECT $a$;$a$ <> '';",
      TZ: 'Europe/Berlin',
    },
    backup,
    {
      verify: {
        mode: 'restore',
        connection: { host: 'verify', port: 5433, user: 'app', database: 'postgres' },
        schedule: { kind: 'cron', expression: '0 4 * * 7', timeZone: 'Europe/Berlin' },
        queries: ["SELECT ';' = ';'", "-- nothing\n\n SELECT $a$;$a$ <> ''"],
      },
    },
  ],
  [
    { BACKUP_VERIFY: 'restore', BACKUP_VERIFY_URL: 'postgresql://me:pw@verify/scratch' },
    backup,
    { verify: { connection: { user: 'me', password: 'pw', database: 'scratch' } } },
  ],
  [
    {
      BACKUP_KEEP_LAST: '1',
      BACKUP_KEEP_HOURLY: '2',
      BACKUP_KEEP_DAILY: '3',
      BACKUP_KEEP_WEEKLY: '4',
      BACKUP_KEEP_MONTHLY: '5',
      BACKUP_KEEP_YEARLY: '6',
      BACKUP_KEEP_DAYS: '7',
    },
    backup,
    {
      retention: {
        local: { last: 1, hourly: 2, daily: 3, weekly: 4, monthly: 5, yearly: 6, days: 7 },
      },
    },
  ],
  [
    {
      S3_KEEP_LAST: '1',
      S3_KEEP_HOURLY: '2',
      S3_KEEP_DAILY: '3',
      S3_KEEP_WEEKLY: '4',
      S3_KEEP_MONTHLY: '5',
      S3_KEEP_YEARLY: '6',
      S3_KEEP_DAYS: '7',
    },
    backup,
    {
      retention: {
        local: { last: 3, daily: 7 },
        s3: { last: 1, hourly: 2, daily: 3, weekly: 4, monthly: 5, yearly: 6, days: 7 },
      },
    },
  ],
  [
    {
      S3_BUCKET: 'b-1',
      S3_PREFIX: '/x/y/',
      S3_ENDPOINT: 'http://s3:9000/',
      S3_REGION: 'r',
      S3_FORCE_PATH_STYLE: 'false',
      S3_STORAGE_CLASS: 'STANDARD_IA',
      S3_SSE: 'AWS:kms',
      S3_SSE_KMS_KEY_ID: 'alias/backups',
      S3_OBJECT_LOCK_MODE: 'governance',
      S3_OBJECT_LOCK_DAYS: '3',
      S3_UPLOAD_LIMIT: '2.5 MB',
      S3_PRUNE: 'false',
      AWS_ACCESS_KEY_ID: 'k',
      AWS_SECRET_ACCESS_KEY: 's',
      AWS_SESSION_TOKEN: 't',
    },
    backup,
    {
      s3: {
        bucket: 'b-1',
        prefix: 'x/y',
        endpoint: 'http://s3:9000',
        region: 'r',
        forcePathStyle: false,
        storageClass: 'STANDARD_IA',
        serverSideEncryption: 'aws:kms',
        kmsKeyId: 'alias/backups',
        objectLock: { mode: 'GOVERNANCE', days: 3 },
        uploadBytesPerSecond: 2_500_000,
        prune: false,
        credentials: { accessKeyId: 'k', secretAccessKey: 's', sessionToken: 't' },
      },
    },
  ],
  [
    { S3_BUCKET: 'b-1', AWS_REGION: 'eu-west-1' },
    backup,
    { s3: { region: 'eu-west-1', forcePathStyle: false, prune: true } },
  ],
  [
    {
      RESTORE_WATCH_DIR: '/w/in',
      RESTORE_STATE_FILE: '/w/s.json',
      RESTORE_POLL_INTERVAL: '0.5',
      RESTORE_SETTLE_SECONDS: '7',
    },
    restore,
    { watchDir: '/w/in', stateFile: '/w/s.json', pollIntervalMs: 500, settleMs: 7000 },
  ],
  [
    {
      RESTORE_ADMIN_URL: 'postgresql://postgres:x@db',
      RESTORE_LOAD_URL: 'postgresql://loader:y@db/shop',
      RESTORE_MAINTENANCE_DB: 'admin',
    },
    restore,
    {
      admin: { user: 'postgres', password: 'x', host: 'db', database: 'shop' },
      load: { user: 'loader', password: 'y' },
      database: { maintenanceDatabase: 'admin' },
    },
  ],
  [
    {
      RESTORE_STOP_FIRST: 'true',
      RESTORE_IN_PLACE: '1',
      RESTORE_MAX_STAGING_BYTES: '1073741824',
      RESTORE_SERVER_DATA_DIR: '/pg',
    },
    restore,
    { stopFirst: true, inPlace: true, maxStagingBytes: 1073741824, serverDataDir: '/pg' },
  ],
  [
    {
      RESTORE_KEEP_PREVIOUS_HOURS: '2',
      RESTORE_WAIT_FOR_BACKUP_SECONDS: '3',
      RESTORE_TIMEOUT_SECONDS: '7200',
    },
    restore,
    { keepPreviousMs: 7200000, waitForBackupMs: 3000, timeoutMs: 7_200_000 },
  ],
  [
    { DATABASE_URL: '', RESTORE_SQLITE_PATH: '/d/x.db' },
    restore,
    { database: { kind: 'sqlite', path: '/d/x.db' }, name: 'x' },
  ],
  [
    { DATABASE_URL: 'sqlite:////d/app.db', RESTORE_SQLITE_PATH: '/d/x.db' },
    restore,
    { database: { kind: 'sqlite', path: '/d/x.db' }, name: 'app' },
  ],
  [
    {
      RESTORE_STOP_CONTAINERS: 'web, service:w',
      RESTORE_START_CONTAINERS: 'label:a=b',
      RESTORE_STOP_TIMEOUT: '9',
      DOCKER_HOST: 'tcp://proxy:80',
      DROPBACK_PROJECT: 'p',
    },
    restore,
    {
      containers: {
        stop: ['web', 'service:w'],
        start: ['label:a=b'],
        stopGraceSeconds: 9,
        dockerHost: 'tcp://proxy:80',
        project: 'p',
      },
    },
  ],
  [{ DROPBACK_DAEMON: 'db-backup' }, backup, { name: 'shop-db' }],
  [
    {
      ALERT_WEBHOOK_URL: 'https://hooks.slack.com/services/T/B/x',
      ALERT_WEBHOOK_TOKEN: 'token-1',
      ALERT_EMAIL_SMTP_URL: 'smtp://u%40x.org:p%2Fw@mail.x.org',
      ALERT_EMAIL_TO: 'a@x.org, b@y.org',
      ALERT_PING_URL: 'https://hc-ping.com/uuid?create=1',
      ALERT_LEVEL: 'warning',
      ALERT_REPEAT_HOURS: '2',
      ALERT_RELAY_URL: 'http://db-restore:8080',
    },
    backup,
    {
      alerts: {
        webhook: {
          url: 'https://hooks.slack.com/services/T/B/x',
          format: 'slack',
          token: 'token-1',
        },
        email: {
          host: 'mail.x.org',
          port: 587,
          secure: false,
          user: 'u@x.org',
          password: 'p/w',
          from: 'u@x.org',
          to: ['a@x.org', 'b@y.org'],
        },
        pingUrl: 'https://hc-ping.com/uuid?create=1',
        relay: false,
        relayUrl: 'http://db-restore:8080/',
        least: 'warning',
        repeatMs: 7_200_000,
        secrets: expect.arrayContaining(['p%2Fw', 'p/w', 'token-1', 'pw']),
      },
    },
  ],
  [
    {
      ALERT_WEBHOOK_URL: 'http://ntfy.local/alerts',
      ALERT_WEBHOOK_FORMAT: 'ntfy',
      ALERT_EMAIL_SMTP_URL: 'smtps://[::1]',
      ALERT_EMAIL_TO: 'a@x',
      ALERT_EMAIL_FROM: 'Backups <b@x.org>',
      ALERT_RELAY: 'yes',
    },
    restore,
    {
      alerts: {
        webhook: { url: 'http://ntfy.local/alerts', format: 'ntfy' },
        email: { host: '::1', port: 465, secure: true, from: 'Backups <b@x.org>', to: ['a@x'] },
        relay: true,
        repeatMs: 86_400_000,
      },
    },
  ],
  [
    { BACKUP_PRE_HOOK: 'sync; true', BACKUP_POST_HOOK: 'b', BACKUP_HOOK_TIMEOUT_SECONDS: '7' },
    backup,
    { hooks: { pre: 'sync; true', post: 'b', timeoutMs: 7000 } },
  ],
  [
    { RESTORE_PRE_HOOK: 'a', RESTORE_POST_HOOK: 'b', RESTORE_HOOK_TIMEOUT_SECONDS: '8' },
    restore,
    { hooks: { pre: 'a', post: 'b', timeoutMs: 8000 } },
  ],
  [
    { PUID: '0', PGID: '5', HEALTH_PORT: '81', LOG_LEVEL: 'DEBUG', LOG_FORMAT: 'text' },
    backup,
    { owner: { uid: 0, gid: 5 }, healthPort: 81, log: { level: 'debug', format: 'text' } },
  ],
  [
    { BACKUP_AGE_RECIPIENTS: 'age1abc, ssh-ed25519 AAAA me@home' },
    backup,
    { ageRecipients: ['age1abc', 'ssh-ed25519 AAAA'] },
  ],
  [
    { BACKUP_AGE_RECIPIENTS: 'age1abc', BACKUP_JOBS: '4' },
    backup,
    { warnings: [expect.stringContaining('BACKUP_JOBS has no effect')] },
  ],
  [
    { BACKUP_AGE_RECIPIENTS: 'age1abc', BACKUP_ROLE_PASSWORDS: 'true' },
    backup,
    { rolePasswords: true },
  ],
  [
    { RESTORE_AGE_IDENTITY: '/age-key' },
    restore,
    { ageIdentity: { text: files['/age-key'], path: '/age-key' } },
  ],
  [
    { RESTORE_AGE_IDENTITY_FILE: '/age-key' },
    restore,
    { ageIdentity: { text: files['/age-key'], path: '/age-key' } },
  ],
  [
    { RESTORE_AGE_IDENTITY: 'AGE-SECRET-KEY-1ABC' },
    restore,
    { ageIdentity: { text: 'AGE-SECRET-KEY-1ABC\n' } },
  ],
];

/** Tried in databases-file.test.ts. */
const elsewhere = ['DATABASES_FILE'];

function problems(parse: () => unknown) {
  try {
    parse();
  } catch (error) {
    return configProblems(error) ?? [{ variable: 'unexpected', message: String(error), hint: '' }];
  }
  return [];
}

it('takes no name for a secret, and each line of a file that holds one', () => {
  const found = (env: Env) => parseRestoreConfig(env, host).alerts.secrets;
  const same = { DATABASE_URL: 'postgresql://some-app:some-app@db/x' };
  expect(found(same)).toEqual([same.DATABASE_URL]);
  const image = { POSTGRES_HOST: 'db', POSTGRES_USER: 'wiki-app', POSTGRES_PASSWORD: 'wiki-app' };
  expect(found(image)).toEqual([]);
  const lines = { ...image, AWS_SECRET_ACCESS_KEY: '# made today\nline-one\n\nline-two' };
  expect(found(lines)).toEqual([lines.AWS_SECRET_ACCESS_KEY, 'line-one', 'line-two']);
});

it('takes the place of a database or of a key for no secret', () => {
  const found = (env: Env) => secretsOf(new Environment(env, host));
  const places = {
    DATABASE_URL: 'sqlite:////data/app.db',
    BACKUP_VERIFY_URL: 'postgresql://verify:5432',
    RESTORE_AGE_IDENTITY: '/restore/age.key',
  };
  expect(found(places)).toEqual([]);
  const asked = { DATABASE_URL: 'postgresql://db/app?user=app&p%61ssword=deep%2Dsecret' };
  expect(found(asked)).toEqual([asked.DATABASE_URL, 'deep%2Dsecret', 'deep-secret']);
  // A key may begin like a path.
  const key = { AWS_SECRET_ACCESS_KEY: '/base64/of+something' };
  expect(found(key)).toEqual([key.AWS_SECRET_ACCESS_KEY]);
});

describe('each variable', () => {
  it.each(good)('%j', (env, parse, expected) => {
    expect(parse(env)).toMatchObject(expected);
  });

  it('is in these tables', () => {
    const tried = new Set([...good.flatMap(([env]) => Object.keys(env)), ...elsewhere]);
    expect(variableNames.filter((name) => !tried.has(name))).toEqual([]);
    expect(new Set(variableNames).size).toBe(variableNames.length);
  });

  it('can come from a file, without its last newline', () => {
    const { database } = backup({
      DATABASE_URL: 'postgresql://app@db/shop',
      PGPASSWORD_FILE: '/secret',
    });
    expect(database).toMatchObject({ connection: { password: 'from file' } });
  });

  it('counts as unset when it is empty', () => {
    const empty = Object.fromEntries(
      variableNames.filter((name) => name !== 'DATABASE_URL').map((name) => [name, '']),
    );
    expect(backup(empty)).toEqual(backup({}));
    expect(restore(empty)).toEqual(restore({}));
  });
});

describe('what is wrong', () => {
  const bad: [Env, typeof backup | typeof restore, string][] = [
    [{ DATABASE_URL: '' }, backup, 'DATABASE_URL'],
    [{ S3_BUCKET: 'b-1', S3_SSE_KMS_KEY_ID: 'k' }, backup, 'S3_SSE_KMS_KEY_ID'],
    [{ S3_BUCKET: 'b-1', S3_UPLOAD_LIMIT: '5 megabytes' }, backup, 'S3_UPLOAD_LIMIT'],
    [{ S3_BUCKET: 'b-1', S3_UPLOAD_LIMIT: '5M' }, backup, 'S3_UPLOAD_LIMIT'],
    [{ S3_BUCKET: 'b-1', S3_UPLOAD_LIMIT: '1kB' }, backup, 'S3_UPLOAD_LIMIT'],
    [{ ALERT_WEBHOOK_URL: 'ftp://x' }, backup, 'ALERT_WEBHOOK_URL'],
    [{ ALERT_WEBHOOK_URL: 'https://ntfy.sh' }, backup, 'ALERT_WEBHOOK_URL'],
    [{ ALERT_WEBHOOK_TOKEN: 'a b' }, restore, 'ALERT_WEBHOOK_TOKEN'],
    [{ ALERT_EMAIL_SMTP_URL: 'mail.x.org', ALERT_EMAIL_TO: 'a@x' }, backup, 'ALERT_EMAIL_SMTP_URL'],
    [{ ALERT_EMAIL_TO: 'a@x' }, backup, 'ALERT_EMAIL_SMTP_URL'],
    [{ ALERT_EMAIL_SMTP_URL: 'smtp://mail' }, backup, 'ALERT_EMAIL_TO'],
    [{ ALERT_EMAIL_SMTP_URL: 'smtp://mail', ALERT_EMAIL_TO: 'a@x' }, restore, 'ALERT_EMAIL_FROM'],
    [{ ALERT_PING_URL: 'x' }, backup, 'ALERT_PING_URL'],
    [{ ALERT_RELAY: 'true', HEALTH_PORT: '0' }, restore, 'ALERT_RELAY'],
    [{ ALERT_LEVEL: 'loud' }, backup, 'ALERT_LEVEL'],
    [{ DATABASE_URL: 'postgresql://db/x' }, backup, 'DATABASE_URL'],
    [{ DATABASE_URL: 'postgresql://a@db:99999/x' }, backup, 'DATABASE_URL'],
    [{ PGPORT: 'x' }, backup, 'PGPORT'],
    [{ PGSSLMODE: 'maybe' }, backup, 'PGSSLMODE'],
    [{ PGSSLMODE: 'verify-full' }, backup, 'PGSSLMODE'],
    [{ PGSSLROOTCERT: '/none' }, backup, 'PGSSLROOTCERT'],
    [{ PGSSLCERT: '/c' }, backup, 'PGSSLCERT'],
    [{ DATABASE_URL: '', POSTGRES_DB: 'x' }, backup, 'POSTGRES_HOST'],
    [{ PGPASSWORD: 'a', PGPASSWORD_FILE: '/secret' }, backup, 'PGPASSWORD'],
    [{ S3_BUCKET_FILE: '/none' }, backup, 'S3_BUCKET_FILE'],
    [{ BACKUP_NAME: '..' }, backup, 'BACKUP_NAME'],
    [{ BACKUP_NAME: 'Ä' }, backup, 'BACKUP_NAME'],
    [{ BACKUP_INTERVAL_SECONDS: '0' }, backup, 'BACKUP_INTERVAL_SECONDS'],
    [{ BACKUP_INTERVAL_SECONDS: '1e3' }, backup, 'BACKUP_INTERVAL_SECONDS'],
    [{ BACKUP_INTERVAL_SECONDS: '60', BACKUP_CRON: '0 3 * * *' }, backup, 'BACKUP_CRON'],
    [{ BACKUP_CRON: 'often' }, backup, 'BACKUP_CRON'],
    [{ BACKUP_CRON: '0 0 31 2 *' }, backup, 'BACKUP_CRON'],
    [{ BACKUP_CRON: '0 3 * * *', TZ: 'Mars' }, backup, 'TZ'],
    [{ BACKUP_NICE: '20' }, backup, 'BACKUP_NICE'],
    [{ BACKUP_VERIFY: 'maybe' }, backup, 'BACKUP_VERIFY'],
    [{ BACKUP_VERIFY: 'restore', BACKUP_VERIFY_CRON: 'often' }, backup, 'BACKUP_VERIFY_CRON'],
    [{ BACKUP_VERIFY_CRON: '0 4 * * *' }, backup, 'BACKUP_VERIFY_CRON'],
    [{ BACKUP_VERIFY_URL: 'sqlite:////a.db' }, backup, 'BACKUP_VERIFY_URL'],
    [{ BACKUP_VERIFY_URL: 'verify:5432' }, backup, 'BACKUP_VERIFY_URL'],
    [
      { DATABASE_URL: 'sqlite:////a.db', BACKUP_EXCLUDE_TABLE_DATA: 'x' },
      backup,
      'BACKUP_EXCLUDE_TABLE_DATA',
    ],
    [
      {
        BACKUP_KEEP_LAST: '0',
        BACKUP_KEEP_DAILY: '0',
        BACKUP_KEEP_WEEKLY: '0',
        BACKUP_KEEP_MONTHLY: '0',
      },
      backup,
      'BACKUP_KEEP_LAST',
    ],
    [{ S3_BUCKET: 's3://b' }, backup, 'S3_BUCKET'],
    [{ S3_BUCKET: 'bbb', S3_PREFIX: 'a/../b' }, backup, 'S3_PREFIX'],
    [{ S3_BUCKET: 'bbb', S3_ENDPOINT: 'https://k:s@x' }, backup, 'S3_ENDPOINT'],
    [{ S3_BUCKET: 'bbb', S3_OBJECT_LOCK_DAYS: '3' }, backup, 'S3_OBJECT_LOCK_MODE'],
    [{ S3_BUCKET: 'bbb', AWS_SECRET_ACCESS_KEY: 'x' }, backup, 'AWS_ACCESS_KEY_ID'],
    [{ RESTORE_WATCH_DIR: '/restore/done' }, restore, 'RESTORE_WATCH_DIR'],
    [{ BACKUP_DIR: '/restore/incoming/b' }, restore, 'BACKUP_DIR'],
    [{ DATABASE_URL: 'sqlite:////restore/incoming/a.db' }, restore, 'DATABASE_URL'],
    [{ RESTORE_MAINTENANCE_DB: 'shop' }, restore, 'RESTORE_MAINTENANCE_DB'],
    [{ RESTORE_ADMIN_URL: 'sqlite:////a.db' }, restore, 'RESTORE_ADMIN_URL'],
    [{ DOCKER_HOST: 'ssh://x' }, restore, 'DOCKER_HOST'],
    [{ DOCKER_TLS_VERIFY: '1' }, restore, 'DOCKER_TLS_VERIFY'],
    [{ RESTORE_STOP_CONTAINERS: 'service:web' }, restore, 'RESTORE_STOP_CONTAINERS'],
    [{ RESTORE_STOP_CONTAINERS: '../x' }, restore, 'RESTORE_STOP_CONTAINERS'],
    [{ BACKUP_ROLE_PASSWORDS: 'true' }, backup, 'BACKUP_ROLE_PASSWORDS'],
    [{ BACKUP_AGE_RECIPIENTS: 'me@home' }, backup, 'BACKUP_AGE_RECIPIENTS'],
    [{ BACKUP_AGE_RECIPIENTS: 'AGE-SECRET-KEY-1A' }, backup, 'BACKUP_AGE_RECIPIENTS'],
    [{ BACKUP_AGE_RECIPIENTS: 'age1a', BACKUP_VERIFY: 'restore' }, backup, 'BACKUP_VERIFY'],
    [{ RESTORE_AGE_IDENTITY: '/nowhere' }, restore, 'RESTORE_AGE_IDENTITY'],
    [{ RESTORE_AGE_IDENTITY: '/age-locked' }, restore, 'RESTORE_AGE_IDENTITY'],
    [{ RESTORE_AGE_IDENTITY: 'age1abc' }, restore, 'RESTORE_AGE_IDENTITY'],
    [{ PUID: '-1' }, restore, 'PUID'],
    [{ LOG_LEVEL: 'loud' }, restore, 'LOG_LEVEL'],
    [{ DROPBACK_DAEMON: 'backup' }, restore, 'DROPBACK_DAEMON'],
  ];
  it.each(bad)('%j', (env, parse, variable) => {
    const found = problems(() => parse(env));
    expect(found.map((problem) => problem.variable)).toEqual([variable]);
    expect(found[0]?.hint).not.toBe('');
  });

  it('is told all at once, without the value of a secret', () => {
    const all = Object.fromEntries(variables.map(({ name }) => [name, 'S3CRET\u0001']));
    for (const parse of [backup, restore]) {
      const found = problems(() => parse(all));
      expect(found.length).toBeGreaterThan(20);
      for (const { name, secret } of variables) {
        if (!secret) continue;
        const about = found.filter(({ variable }) => variable === name);
        expect(JSON.stringify(about)).not.toContain('S3CRET');
      }
    }
  });

  it('is told without the login of an address that was meant for another', () => {
    const url = 'https://AKIAKEY:S3CRET/a@b@minio:9000';
    const found = problems(() =>
      backup({ S3_BUCKET: 'backups', S3_ENDPOINT: url, HEALTH_PORT: url }),
    );
    expect(found.map(({ variable }) => variable).sort()).toEqual(['HEALTH_PORT', 'S3_ENDPOINT']);
    for (const { message } of found) {
      expect(message).toContain('minio:9000');
      expect(message).not.toMatch(/S3CRET|AKIAKEY/);
    }
  });

  it('is a warning that SQLite knows no other way than its own', () => {
    const database = { DATABASE_URL: 'sqlite:////d/app.db' };
    expect(restore({ ...database, RESTORE_IN_PLACE: 'true' }).warnings).toEqual([
      'RESTORE_IN_PLACE has no effect: the database is SQLite',
    ]);
    expect(restore({ ...database, RESTORE_IN_PLACE: 'false' }).warnings).toEqual([]);
  });

  it('is a warning with the nearest name for an unknown variable', () => {
    expect(
      backup({ BACKUP_KEEP_DIALY: '3', S3_BUKCET: 'x', OTHER: 'x', PGOPTIONS: 'x' }).warnings,
    ).toEqual([
      expect.stringMatching(/BACKUP_KEEP_DIALY.*BACKUP_KEEP_DAILY/),
      expect.stringContaining('PGOPTIONS'),
      expect.stringMatching(/S3_BUKCET.*S3_BUCKET/),
    ]);
    expect(backup({ S3_PREFIX: 'x' }).warnings).toEqual([
      expect.stringContaining('S3_BUCKET is not set'),
    ]);
  });

  it('is a warning that root runs everything', () => {
    expect(backup({ PUID: '0' }).warnings).toEqual([expect.stringContaining('PUID is 0')]);
    expect(backup({ PUID: '1000', PGID: '0' }).warnings).toEqual([]);
  });

  it('does not hide whose container it is from the command line', () => {
    const daemon = (name: string) =>
      parseCliConfig({ BACKUP_JOBS: 'wrong', DROPBACK_DAEMON: name }, host).daemon();
    expect(['db-backup', 'db-restore', '', 'other'].map(daemon)).toEqual([
      'db-backup',
      'db-restore',
      undefined,
      undefined,
    ]);
  });

  it('does not stop a command that needs none of it', () => {
    const cli = parseCliConfig({ DATABASE_URL: 'sqlite:////a.db', DOCKER_HOST: 'x' }, host);
    expect(cli.common().name).toBe('a');
    expect(problems(() => cli.restore())).toHaveLength(1);
  });
});

describe('BACKUP_NAME by default', () => {
  const name = (url: string) => backup({ DATABASE_URL: url }).name;
  it('fits, and differs where the databases do', () => {
    const urls = [
      'postgresql://a@db/Shop',
      'postgresql://a@db/shop',
      'postgresql://a@db/sh%C3%B6p',
      'postgresql://a@db/sh%C3%BCp',
      `postgresql://a@db/${'x'.repeat(63)}`,
      `postgresql://a@db/${'x'.repeat(62)}y`,
      'sqlite:////%D0%B1.db',
    ];
    const names = urls.map(name);
    expect(new Set(names).size).toBe(urls.length);
    for (const each of names) expect(each).toMatch(/^[a-z0-9][a-z0-9._-]{0,39}$/);
    expect(name('postgresql:///shop?user=a')).toBe('shop');
  });
});
