import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createRoles } from '../../src/core/engines/postgres/globals/create-roles.ts';
import {
  mayReadPasswords,
  readSavedRoles,
} from '../../src/core/engines/postgres/globals/read-saved-roles.ts';
import { setRolesInDatabase } from '../../src/core/engines/postgres/globals/set-in-database.ts';
import { servers } from '../support/testbed.ts';
import { BackupBed } from './postgres-backup-bed.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

describe.each(servers)('roles of PostgreSQL $major', (server) => {
  let bed: BackupBed;
  let names: { owner: string; app: string; staff: string; boss: string; stranger: string };

  beforeEach(async () => {
    bed = await BackupBed.create(server);
    names = {
      owner: await bed.role('CREATEDB'),
      app: await bed.role('CONNECTION LIMIT 7'),
      staff: await bed.role(),
      boss: await bed.role('SUPERUSER'),
      stranger: await bed.role(),
    };
    const { owner, app, staff, boss } = names;
    await bed.run(
      `ALTER ROLE ${staff} NOLOGIN`,
      `GRANT ${staff} TO ${app}`,
      `GRANT ${staff} TO ${boss} WITH ADMIN OPTION`,
      `ALTER ROLE ${app} SET work_mem = '9MB'`,
      `ALTER ROLE ${app} SET zero_damaged_pages = on`,
      `ALTER ROLE ${app} IN DATABASE ${bed.connection.database} SET work_mem = '11MB'`,
      `ALTER ROLE ${app} IN DATABASE ${bed.connection.database} SET zero_damaged_pages = on`,
      `ALTER ROLE ${app} IN DATABASE postgres SET work_mem = '13MB'`,
      `CREATE TABLE public.t (i int)`,
      `ALTER TABLE public.t OWNER TO ${owner}`,
      `GRANT SELECT ON public.t TO ${staff}`,
    );
  });
  afterEach(() => bed?.[Symbol.asyncDispose]());

  test('those that own something or may do something here, and no other', async () => {
    await using session = await bed.open();
    const { owner, app, staff, boss, stranger } = names;
    const roles = await readSavedRoles(session, [owner, staff], false);
    const saved = roles.map(({ name }) => name);
    expect(saved).toEqual(expect.arrayContaining([owner, app, staff, boss, 'postgres']));
    expect(saved).not.toContain(stranger);
    expect(JSON.stringify(roles)).not.toContain('SCRAM');
    expect(roles.find(({ name }) => name === app)).toMatchObject({
      attributes: ['INHERIT', 'LOGIN'],
      connectionLimit: 7,
      memberOf: [{ role: staff, admin: false }],
      databaseSettings: [
        { name: 'work_mem', value: '11MB' },
        { name: 'zero_damaged_pages', value: 'on' },
      ],
    });
    expect(roles.find(({ name }) => name === owner)).not.toHaveProperty('databaseSettings');
    const withPasswords = await readSavedRoles(session, [owner], true);
    expect(withPasswords.find(({ name }) => name === owner)?.password).toMatch(/^SCRAM-SHA-256/);
    await using plain = await bed.open({ user: stranger, password: 'pw' });
    expect(await mayReadPasswords(plain)).toBe(false);
    expect(await readSavedRoles(plain, [owner], false)).toContainEqual(
      expect.objectContaining({ name: owner, attributes: ['INHERIT', 'CREATEDB', 'LOGIN'] }),
    );
  });

  test('who may create roles makes the missing ones, without the rights of a superuser', async () => {
    const { owner, app, staff, boss } = names;
    const control = await bed.role('CREATEROLE');
    await using admin = await bed.open();
    const saved = await readSavedRoles(admin, [owner, staff], false);
    const ours = saved.filter(({ name }) => [owner, app, staff, boss].includes(name));
    await bed.run(
      'DROP TABLE public.t',
      `DROP ROLE ${app}, ${staff}, ${boss}`,
      `ALTER ROLE ${owner} NOCREATEDB`,
    );
    await using session = await bed.open({ user: control, password: 'pw' });
    const { created, notes } = await createRoles(session, ours);
    expect(created.toSorted()).toEqual([app, staff, boss].toSorted());
    const told = notes.join('\n');
    expect(told).toMatch(new RegExp(`"${boss}": a right that only a superuser can give`));
    expect(told).toContain(`left out: the setting zero_damaged_pages of the role "${app}"`);
    expect(told).toContain('created without a password');
    const after = await readSavedRoles(admin, [owner, app, staff, boss], false);
    const now = (name: string) => after.find((role) => role.name === name);
    expect(now(owner)?.attributes).toEqual(['INHERIT', 'LOGIN']);
    expect(now(boss)?.attributes).toEqual(['INHERIT', 'LOGIN']);
    expect(now(app)).toMatchObject({
      connectionLimit: 7,
      settings: [{ name: 'work_mem', value: '9MB' }],
      memberOf: [{ role: staff, admin: false }],
    });
    expect(now(boss)?.memberOf).toMatchObject([{ role: staff, admin: true }]);
    expect(await createRoles(session, ours)).toEqual({ created: [], notes: [] });
  });

  test('what a role has set in this database is set again, but not over what it has here', async () => {
    const { owner, app } = names;
    const { database } = bed.connection;
    await using admin = await bed.open();
    const saved = await readSavedRoles(admin, [owner], false);
    await bed.run(
      `ALTER ROLE ${app} IN DATABASE ${database} RESET ALL`,
      `ALTER ROLE ${owner} IN DATABASE ${database} SET work_mem = '12MB'`,
    );
    const both = saved.map((role) =>
      role.name === owner
        ? { ...role, databaseSettings: [{ name: 'work_mem', value: '1MB' }] }
        : role,
    );
    const control = await bed.role('CREATEROLE');
    if (server.major >= 16) await bed.run(`GRANT ${app} TO ${control} WITH ADMIN OPTION`);
    await using session = await bed.open({ user: control, password: 'pw' });
    const gone = { name: 'nobody_here', attributes: [], connectionLimit: -1, settings: [] };
    const all = [
      ...both,
      { ...gone, memberOf: [], databaseSettings: [{ name: 'work_mem', value: '1MB' }] },
    ];
    expect(await setRolesInDatabase(session, database, all)).toEqual([
      `set as in the backup: the setting work_mem of the role "${app}" in this database`,
      `left out: the setting zero_damaged_pages of the role "${app}" in this database`,
    ]);
    const after = await readSavedRoles(admin, [owner], false);
    const now = (name: string) => after.find((role) => role.name === name)?.databaseSettings;
    expect(now(app)).toEqual([{ name: 'work_mem', value: '11MB' }]);
    expect(now(owner)).toEqual([{ name: 'work_mem', value: '12MB' }]);
  });
});
