import type { CheckResult } from '../../engine.ts';
import { ident } from '../quoting.ts';
import type { ServerInfo } from '../server-info.ts';
import type { Session } from '../session.ts';
import type { DatabaseFacts } from './live.ts';
import type { DatabaseProfile } from './profile.ts';

/** What a restore into this database would need of the control role. */
export interface RightsQuestion {
  readonly info: ServerInfo;
  readonly live: DatabaseFacts | undefined;
  readonly profile: DatabaseProfile | undefined;
  /** Owner of the new database. */
  readonly owner: string;
  /** Roles that control's own load gives objects to. */
  readonly actsAs: readonly string[];
  /** Roles have to be made: a load role, placeholders. */
  readonly createsRoles: boolean;
}

/** One line for each right; what fails comes with the statement that grants it. */
export async function controlRights(
  session: Session,
  question: RightsQuestion,
): Promise<CheckResult[]> {
  const { info } = question;
  const { role } = await session.queryOne<{ role: string }>('SELECT current_user AS role');
  const results = [
    right(
      'createdb',
      info.canCreateDatabases,
      'create databases',
      `ALTER ROLE ${ident(role)} CREATEDB;`,
    ),
    right(
      'createrole',
      info.canCreateRoles || !question.createsRoles,
      'create roles',
      `ALTER ROLE ${ident(role)} CREATEROLE; (or set RESTORE_LOAD_URL to a role for foreign files)`,
    ),
    await ownerRight(session, role, question),
  ];
  if (info.isSuperuser) return results;
  results.push(...(await actingRights(session, role, question.actsAs)));
  if (!question.live || !question.profile) return results;
  results.push(await signalRight(session, role, question.live));
  results.push(...(await settingRights(session, role, question.profile)));
  return results;
}

async function ownerRight(
  session: Session,
  role: string,
  { owner, live }: RightsQuestion,
): Promise<CheckResult> {
  // Renaming needs the owner's rights; giving a database to a role needs SET ROLE to it from 16 on.
  const kind = session.major >= 16 ? 'SET' : 'MEMBER';
  const [found] = await session.query<{ may: boolean }>(
    `SELECT pg_has_role(oid, 'USAGE') AND pg_has_role(oid, $2) AS may FROM pg_roles WHERE rolname = $1`,
    [owner, kind],
  );
  const what = live
    ? `act as ${owner}, who owns ${live.name}`
    : `give the new database to ${owner}`;
  return right('owner', found?.may ?? false, what, `GRANT ${ident(owner)} TO ${ident(role)};`);
}

async function actingRights(
  session: Session,
  role: string,
  names: readonly string[],
): Promise<CheckResult[]> {
  const kind = session.major >= 16 ? 'SET' : 'MEMBER';
  const rows = await session.query<{ name: string }>(
    'SELECT rolname AS name FROM pg_roles WHERE rolname = ANY ($1::text[]) AND NOT pg_has_role(oid, $2)',
    [names, kind],
  );
  return rows.map(({ name }) => {
    const grant = `GRANT ${ident(name)} TO ${ident(role)};`;
    return right(
      `owner/${name}`,
      false,
      `give ${name} the objects that it owns in the backup`,
      grant,
    );
  });
}

/** Whoever is connected now is taken for a sample of who may be connected at the swap. */
export async function signalRight(
  session: Session,
  role: string,
  live: DatabaseFacts,
): Promise<CheckResult> {
  const rows = await session.query<{ name: string; superuser: boolean }>(
    `SELECT DISTINCT r.rolname AS name, r.rolsuper AS superuser
       FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid
      WHERE a.datid = $1::oid AND NOT pg_has_role(r.oid, 'USAGE')
        AND (r.rolsuper OR NOT pg_has_role('pg_signal_backend', 'USAGE'))`,
    [live.oid],
  );
  const superusers = rows.filter((row) => row.superuser).map((row) => row.name);
  if (superusers.length > 0) {
    return {
      id: 'postgres/rights/terminate',
      status: 'failed',
      message: `sessions of the superuser ${superusers.join(', ')} in ${live.name} can only be ended by a superuser`,
      hint: 'close those sessions, or set RESTORE_ADMIN_URL to a superuser.',
    };
  }
  const names = rows.map((row) => row.name).join(', ');
  return right(
    'terminate',
    rows.length === 0,
    names ? `end the sessions of ${names} in ${live.name}` : `end the sessions in ${live.name}`,
    `GRANT pg_signal_backend TO ${ident(role)};`,
  );
}

/** Settings that only a superuser may put on the new database, and grants that others made. */
async function settingRights(
  session: Session,
  role: string,
  profile: DatabaseProfile,
): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  const names = [...new Set(profile.settings.map((setting) => setting.name))];
  const may = session.major >= 15 ? "has_parameter_privilege(name, 'SET')" : 'false';
  const restricted = await session.query<{ name: string }>(
    `SELECT name FROM pg_settings
      WHERE name = ANY ($1::text[]) AND context IN ('superuser', 'superuser-backend') AND NOT ${may}`,
    [names],
  );
  for (const { name } of restricted) {
    const grant = `GRANT SET ON PARAMETER ${ident(name)} TO ${ident(role)};`;
    results.push(right(`setting/${name}`, false, `carry over the setting ${name}`, grant));
  }
  const others = await session.query<{ name: string }>(
    `SELECT r.rolname AS name FROM pg_roles r, pg_roles me
      WHERE me.rolname = current_user AND r.rolname = ANY ($1::text[]) AND r.oid <> me.oid
        AND (r.rolsuper OR NOT me.rolcreaterole
             OR ($2 AND NOT pg_has_role(r.oid, 'USAGE WITH ADMIN OPTION')))`,
    [profile.settings.flatMap(({ role: of }) => (of === null ? [] : [of])), session.major >= 16],
  );
  for (const { name } of others) {
    const grant = `ALTER ROLE ${ident(role)} CREATEROLE; GRANT ${ident(name)} TO ${ident(role)} WITH ADMIN OPTION;`;
    results.push(
      right(`setting-of/${name}`, false, `carry over settings of the role ${name}`, grant),
    );
  }
  const grantors = profile.acl.map((entry) => entry.grantor);
  const foreign = await session.query<{ name: string }>(
    `SELECT rolname AS name FROM pg_roles
      WHERE rolname = ANY ($1::text[]) AND rolname <> $2 AND NOT pg_has_role(oid, 'MEMBER')`,
    [grantors, profile.owner],
  );
  for (const { name } of foreign) {
    const grant = `GRANT ${ident(name)} TO ${ident(role)};`;
    results.push(right(`grantor/${name}`, false, `repeat the grants that ${name} made`, grant));
  }
  return results;
}

function right(id: string, has: boolean, what: string, grant: string): CheckResult {
  const full = `postgres/rights/${id}`;
  if (has) return { id: full, status: 'ok', message: `may ${what}` };
  const hint = `let a superuser run: ${grant}`;
  return { id: full, status: 'failed', message: `may not ${what}`, hint };
}
