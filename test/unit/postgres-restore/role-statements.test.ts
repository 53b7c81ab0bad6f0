import { expect, test } from 'vitest';
import { psqlCommand } from '../../../src/backup/restore-by-hand.ts';
import { globalsOf } from '../../../src/core/archive/globals.ts';
import type { SavedRole } from '../../../src/core/archive/manifest.ts';
import {
  createRole,
  grantMembership,
  rolesScript,
  setInDatabase,
  setRoleSettings,
  settingsScript,
} from '../../../src/core/engines/postgres/globals/role-statements.ts';

const role = (change: Partial<SavedRole> = {}): SavedRole => ({
  name: 'app',
  attributes: ['LOGIN', 'INHERIT'],
  connectionLimit: -1,
  settings: [],
  memberOf: [],
  ...change,
});

test.each<[string, SavedRole, string]>([
  ['a plain one', role(), 'CREATE ROLE "app" WITH LOGIN INHERIT'],
  [
    'a hostile name',
    role({ name: 'a"; DROP ROLE x; --', attributes: [] }),
    'CREATE ROLE "a""; DROP ROLE x; --" WITH NOINHERIT',
  ],
  [
    'limits',
    role({ connectionLimit: 3, validUntil: "in'finity" }),
    `CREATE ROLE "app" WITH LOGIN INHERIT CONNECTION LIMIT 3 VALID UNTIL 'in''finity'`,
  ],
])('CREATE ROLE: %s', (_, given, statement) => {
  expect(createRole(given)).toBe(statement);
});

test('without what only a superuser can give', () => {
  const given = role({ attributes: ['SUPERUSER', 'CREATEDB', 'LOGIN', 'REPLICATION'] });
  expect(createRole(given)).toBe(
    'CREATE ROLE "app" WITH SUPERUSER CREATEDB LOGIN REPLICATION NOINHERIT',
  );
  expect(createRole(given, true)).toBe('CREATE ROLE "app" WITH LOGIN NOINHERIT');
});

test('lists of names in a setting stay lists', () => {
  const settings = [
    { name: 'search_path', value: '"$user", public' },
    { name: 'work_mem', value: "8MB'" },
  ];
  expect(setRoleSettings(role({ settings }))).toEqual([
    `ALTER ROLE "app" SET "search_path" TO '$user', 'public'`,
    `ALTER ROLE "app" SET "work_mem" TO '8MB'''`,
  ]);
});

test('settings in a database, by statement and by a script that asks where it is connected', () => {
  const set = { name: 'app.share', value: "50%, 'I'" };
  expect(setInDatabase('a"b', 'my "db"', set)).toBe(
    `ALTER ROLE "a""b" IN DATABASE "my ""db""" SET "app.share" TO '50%, ''I'''`,
  );
  const roles = [role(), role({ name: '%I', databaseSettings: [set] })];
  expect(settingsScript(roles)).toBe(
    `SELECT format('ALTER ROLE "%%I" IN DATABASE %I SET "app.share" TO ''50%%, ''''I''''''', current_database()) \\gexec`,
  );
  expect(settingsScript([role()])).toBeUndefined();
});

test('options of a membership, as the server knows them', () => {
  const known = { role: 'g', admin: false, inherit: false, set: true };
  expect(grantMembership('m', known, 18)).toBe(
    'GRANT "g" TO "m" WITH ADMIN FALSE, INHERIT FALSE, SET TRUE',
  );
  expect(grantMembership('m', known, 15)).toBe('GRANT "g" TO "m"');
  expect(grantMembership('m', { role: 'g', admin: true }, 18)).toBe(
    'GRANT "g" TO "m" WITH ADMIN OPTION',
  );
});

test('a name can not end the script that the shell is given', () => {
  const script = rolesScript([role({ name: 'x\nSQL\nrm -rf /\n' })], 18);
  const command = psqlCommand('postgres', script);
  const [, end = ''] = /<<'(\w+)'/.exec(command) ?? [];
  const lines = command.split('\n');
  expect(lines.indexOf(end)).toBe(lines.length - 1);
});

test("an application's own settings, which may be secrets, are saved only encrypted", async () => {
  const settings = [
    { name: 'app.jwt_secret', value: 'hush' },
    { name: 'work_mem', value: '8MB' },
  ];
  const globals = await globalsOf(
    [role({ settings, databaseSettings: settings, password: 'hush' })],
    [],
    new AbortController().signal,
  );
  expect(JSON.stringify(globals)).not.toContain('hush');
  const kept = [{ name: 'work_mem', value: '8MB' }];
  expect(globals).toMatchObject({ roles: [{ settings: kept, databaseSettings: kept }] });
});
