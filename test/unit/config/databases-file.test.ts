import { describe, expect, it } from 'vitest';
import { parseBackupConfig } from '../../../src/core/config/backup.ts';
import { parseCliConfig } from '../../../src/core/config/cli.ts';
import { parseDatabases } from '../../../src/core/config/databases.ts';
import type { ConfigHost } from '../../../src/core/config/environment.ts';
import { configProblems, explainConfigError } from '../../../src/core/config/problems.ts';
import { parseRestoreConfig } from '../../../src/core/config/restore.ts';
import { journalPlace, restorePlace } from '../../../src/core/config/restore-places.ts';

type Env = Record<string, string>;

function hostOf(file: string): ConfigHost {
  const files: Env = { '/dbs': file, '/url': 'postgresql://app:pw@db/blog\n' };
  return {
    cwd: '/cwd',
    readFile(path) {
      const text = files[path];
      if (text === undefined) throw new Error(`ENOENT: ${path}`);
      return text;
    },
    readable: () => true,
    // Links, and folders that are mounted twice.
    fileId: (path) => ({ '/data/a.db': '1', '/link.db': '1', '/data': '2', '/again': '2' })[path],
  };
}

const backups = (file: string, env: Env = {}) =>
  parseDatabases(parseBackupConfig, { DATABASES_FILE: '/dbs', ...env }, hostOf(file));
const restores = (file: string, env: Env = {}) =>
  parseDatabases(parseRestoreConfig, { DATABASES_FILE: '/dbs', ...env }, hostOf(file));

/** What a program prints before it exits with 78. */
function explained(parse: () => unknown): string | undefined {
  try {
    parse();
  } catch (error) {
    return explainConfigError(error);
  }
  return undefined;
}

function problemsOf(parse: () => unknown): string[] {
  try {
    parse();
  } catch (error) {
    const problems = configProblems(error);
    if (!problems) throw error;
    return problems.map(({ variable, message }) => `${variable} ${message}`);
  }
  return [];
}

const TWO = `
shop:
  DATABASE_URL: postgresql://app:pw@db/shop
  BACKUP_INTERVAL_SECONDS: 3600
blog:
  DATABASE_URL_FILE: /url
`;

describe('DATABASES_FILE', () => {
  it('is an environment for each, with the entry laid over the one that all share', () => {
    const { all, areSeveral } = backups(TWO, { BACKUP_JOBS: '2', BACKUP_CRON: '0 3 * * *' });
    expect(areSeveral).toBe(true);
    expect(all).toMatchObject([
      { name: 'shop', jobs: 2, schedule: { kind: 'interval', seconds: 3600 } },
      { name: 'blog', jobs: 2, schedule: { kind: 'cron' }, database: { kind: 'postgres' } },
    ]);
  });

  it('may be JSON, and every value is the text that stands there', () => {
    const file = JSON.stringify({ a: { DATABASE_URL: 'sqlite:////a.db', BACKUP_ON_START: false } });
    expect(backups(file).all).toMatchObject([{ name: 'a', onStart: false }]);
    const yaml = 'a: {PGHOST: db, PGUSER: app, PGPASSWORD: 007, PGDATABASE: 1e3}';
    expect(backups(yaml).all).toMatchObject([
      { database: { connection: { password: '007', database: '1e3' } } },
    ]);
  });

  it('takes a variable away with an empty value, and replaces both of its forms', () => {
    const file = 'a: {DATABASE_URL: "sqlite:////a.db", BACKUP_JOBS: "", S3_BUCKET: own}';
    const env = { BACKUP_JOBS: '4', S3_BUCKET_FILE: '/url' };
    const [config] = backups(file, env).all;
    expect(config.jobs).toBeUndefined();
    expect(config.s3?.bucket).toBe('own');
  });

  it('gives no entry what says of a single database which it is', () => {
    const file = 'a: {PGUSER: me}';
    const stack = { POSTGRES_HOST: 'db', POSTGRES_DB: 'app', PGPASSWORD: 'x' };
    const [config] = backups(file, stack).all;
    expect(config.database).toMatchObject({ connection: { host: '/var/run/postgresql' } });
    expect(problemsOf(() => backups('a: {BACKUP_JOBS: 1}', stack))).toEqual([
      'a: DATABASE_URL is not set',
    ]);
    const beside = { DATABASE_URL: 'sqlite:////x.db', BACKUP_NAME: 'x' };
    expect(problemsOf(() => backups(TWO, beside))).toEqual([
      'DATABASE_URL is set beside DATABASES_FILE',
      'BACKUP_NAME is set beside DATABASES_FILE',
    ]);
  });

  it('lists every problem of every entry, those of the environment once', () => {
    const file = `
shop: {DATABASE_URL: "oracle://x", BACKUP_KEEP_LAST: many}
Blog: {DATABASE_URL: "sqlite:////b.db"}
check: {DATABASE_URL: "sqlite:////c.db"}
text: hello
more: {DATABASE_URL: "sqlite:////d.db", HEALTH_PORT: 1, BACKUP_NAME: x, S3_BUCKET: [a]}
`;
    const found = problemsOf(() => backups(file, { BACKUP_NICE: '99' }));
    expect(found).toEqual([
      expect.stringContaining('DATABASES_FILE: "Blog" can\'t be'),
      expect.stringContaining('DATABASES_FILE: "check" can\'t be'),
      'DATABASES_FILE: "text" is no mapping of variables',
      'more: HEALTH_PORT belongs to the whole daemon',
      "more: BACKUP_NAME is the entry's own name",
      'more: S3_BUCKET is no text',
      expect.stringMatching(/^shop: DATABASE_URL /),
      expect.stringMatching(/^BACKUP_NICE must be/),
      expect.stringMatching(/^shop: BACKUP_KEEP_LAST must be/),
    ]);
  });

  it('refuses one database twice', () => {
    const url = 'postgresql://app:pw@db/shop';
    const file = `a: {DATABASE_URL: "${url}"}\nb: {DATABASE_URL: "${url}?sslmode=require"}\n`;
    expect(problemsOf(() => backups(file))).toEqual(['b: DATABASE_URL is the database of a']);
    const lite =
      'a: {DATABASE_URL: "sqlite:////x/a.db"}\nb: {DATABASE_URL: "sqlite:////x/../x/a.db"}';
    expect(problemsOf(() => restores(lite))).toEqual(['b: DATABASE_URL is the database of a']);
    const two = (one: string, other: string) =>
      problemsOf(() => backups(`a: {DATABASE_URL: "${one}"}\nb: {DATABASE_URL: "${other}"}`));
    const same = ['b: DATABASE_URL is the database of a'];
    const local = 'postgresql://app:pw@localhost/shop';
    expect(two(local, 'postgresql://other:x@127.0.0.1:5432/shop')).toEqual(same);
    expect(two(local, 'postgresql://app@LOCALHOST./shop?sslmode=disable')).toEqual(same);
    expect(two(local, 'postgresql+psycopg2://app@[::1]:5432/shop')).toEqual(same);
    expect(two(local, 'postgresql://app@127.0.0.1:5433/shop')).toEqual([]);
    expect(two(local, 'postgresql://app@127.0.0.1/Shop')).toEqual([]);
    expect(two('sqlite:///data/../../data/a.db', 'sqlite:////data/a.db')).toEqual(same);
    expect(two('sqlite:////link.db', 'sqlite:////data/a.db')).toEqual(same);
    expect(two('sqlite:////again/new.db', 'sqlite:////data/new.db')).toEqual(same);
    expect(two('sqlite:////again/new.db', 'sqlite:////data/other.db')).toEqual([]);
    expect(problemsOf(() => backups(`a: {PGUSER: x}\na: {PGUSER: y}`))).toEqual([
      "DATABASES_FILE can't be read: DUPLICATE_KEY at line 2",
    ]);
  });

  it.each(['', '[]', 'text', 'a: b: c', '{'])(
    'refuses a file that is %j, without quoting it',
    (file) => {
      const [problem] = problemsOf(() => backups(file));
      expect(problem).toMatch(/^DATABASES_FILE can't be read: /);
    },
  );

  it('explains a file that is not there by how it is mounted, a broken one by an example', () => {
    const gone = explained(() => backups('', { DATABASES_FILE: '/gone' }));
    expect(gone).toContain("DATABASES_FILE can't be read: ENOENT: /gone\n    → check the path");
    expect(gone).not.toContain('YAML');
    expect(explained(() => backups('[]'))).toContain(
      '→ write YAML or JSON, for example\n      shop:\n        DATABASE_URL: ',
    );
  });

  it('tells of a mistyped name beside the variable that is missing for it', () => {
    const inEntry = explained(() => backups('shop: {DATABSE_URL: "sqlite:////a.db"}'));
    expect(inEntry).toContain('shop: DATABASE_URL is not set');
    expect(inEntry).toMatch(/shop: DATABSE_URL is not .*\n.*nearest is DATABASE_URL/);
    const alone = explained(() => parseBackupConfig({ S3_BUKET: 'x' }, hostOf('')));
    expect(alone).toMatch(/DATABASE_URL is not set\n.*\nBeside that:\n {2}S3_BUKET is not /);
  });

  it('tells a secret in a broken file to nobody', () => {
    const file = 'a:\n  DATABASE_URL: "postgresql://app:geheim@db/x\n b: [';
    expect(JSON.stringify(problemsOf(() => backups(file)))).not.toContain('geheim');
    const wrong = 'a: {DATABASE_URL: "postgresql://app:geheim@db:99999/x"}';
    expect(JSON.stringify(problemsOf(() => backups(wrong)))).not.toContain('geheim');
  });

  it('warns once of unknown names in the environment, with the nearest', () => {
    expect(backups(TWO, { PUID: '0', BACKUP_JOB: '1' }).warnings).toEqual([
      expect.stringMatching(/^BACKUP_JOB is not .* BACKUP_JOBS$/),
      expect.stringContaining('PUID is 0'),
    ]);
  });

  it('refuses unknown names in an entry, with the nearest', () => {
    const file = `${TWO}\n  BACKUP_AGE_RECIPIENT: age1x\n  DATABSE_URL: x\n`;
    const told = explained(() => backups(file));
    expect(told).toMatch(
      /blog: BACKUP_AGE_RECIPIENT is not .*\n.*nearest is BACKUP_AGE_RECIPIENTS/,
    );
    expect(told).toMatch(/blog: DATABSE_URL is not .*\n.*nearest is DATABASE_URL/);
  });

  it("keeps each one's secrets out of what is told and logged of all of them", () => {
    const file = `
shop: {DATABASE_URL: "postgresql://app:shop%2Dpw@db/shop"}
blog: {DATABASE_URL_FILE: /url, ALERT_WEBHOOK_URL: "https://x.org/blogs-own"}
more: {DATABASE_URL: "postgresql://me:moremore@db/more", RESTORE_AGE_IDENTITY: ""}
`;
    const { all } = backups(file, { ALERT_WEBHOOK_URL: 'https://x.org/everybodys' });
    for (const { alerts, log } of all) {
      const expected = ['shop%2Dpw', 'shop-pw', 'pw', 'https://x.org/blogs-own', 'moremore'];
      expect(alerts.secrets).toEqual(expect.arrayContaining(expected));
      expect(log.secrets).toBe(all[0].alerts.secrets);
    }
  });

  it('gives each its folders', () => {
    const { all } = restores(TWO);
    expect(all.map((config) => restorePlace(config, 'incoming'))).toEqual([
      '/restore/incoming/shop',
      '/restore/incoming/blog',
    ]);
    expect(restorePlace(all[0], 'done')).toBe('/restore/done/shop');
    expect(journalPlace(all[0])).toBe('/restore/state/shop/state.json');
    const single = { watchDir: '/r/incoming', stateFile: '/r/state.json', name: 'shop' };
    expect(restorePlace(single, 'work')).toBe('/r/work');
    expect(journalPlace(single)).toBe('/r/state.json');
  });

  it('has thousands of entries', () => {
    const many = Array.from(
      { length: 1000 },
      (_, i) => `d${i}: {DATABASE_URL: "sqlite:////${i}.db"}`,
    );
    expect(backups(many.join('\n')).all).toHaveLength(1000);
  });
});

describe('the command line, of several databases', () => {
  const cli = parseCliConfig({ DATABASES_FILE: '/dbs' }, hostOf(TWO));

  it('takes one by its name, and asks for it where there is none', () => {
    expect(cli.names()).toEqual(['shop', 'blog']);
    expect(cli.of('blog').restore()).toMatchObject({ name: 'blog', isOneOfSeveral: true });
    expect(() => cli.restore()).toThrow(
      expect.objectContaining({
        code: 'request/which-database',
        hint: 'add --database NAME; they are: shop, blog',
      }),
    );
    expect(() => cli.of('shopp')).toThrow(
      expect.objectContaining({ code: 'request/no-such-database' }),
    );
  });

  it('knows the only one by its name too', () => {
    const single = parseCliConfig({ DATABASE_URL: 'sqlite:////a.db' }, hostOf(''));
    expect(single.names()).toBeUndefined();
    expect(single.of('a').common().name).toBe('a');
    expect(() => single.of('b')).toThrow(/no database b/);
  });
});
