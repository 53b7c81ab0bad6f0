import type { CheckResult } from '../../engine.ts';
import { ident } from '../quoting.ts';
import type { Session } from '../session.ts';

/**
 * RESTORE_LOAD_URL's role runs text from foreign files. It must be nobody: no attributes, member of
 * nothing, owner of no database (what it owns is handed to the live owner after a load); and control
 * must be able to act for it.
 */
export async function loadRoleChecks(session: Session, role: string): Promise<CheckResult[]> {
  const id = 'postgres/load-role';
  const kind = session.major >= 16 ? 'SET' : 'MEMBER';
  const [found] = await session.query<{
    able: boolean;
    privileged: boolean;
    member: boolean;
    owns: boolean;
    reach: boolean;
  }>(
    `SELECT r.rolcanlogin AS able,
            r.rolsuper OR r.rolcreatedb OR r.rolcreaterole OR r.rolreplication OR r.rolbypassrls AS privileged,
            EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid) AS member,
            EXISTS (SELECT FROM pg_database d
                     WHERE d.datdba = r.oid AND d.datname !~ '^dropback_s_[0-9a-f]{16}$') AS owns,
            pg_has_role(r.oid, 'USAGE') AND pg_has_role(r.oid, $2) AS reach
       FROM pg_roles r WHERE r.rolname = $1`,
    [role, kind],
  );
  const failed = (message: string, hint: string): CheckResult[] => [
    { id, status: 'failed', message: `the load role ${role} ${message}`, hint },
  ];
  const name = ident(role);
  if (!found?.able) return failed('cannot log in', `CREATE ROLE ${name} LOGIN PASSWORD '…';`);
  if (found.privileged) {
    const hint = `ALTER ROLE ${name} NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;`;
    return failed('has rights that text from a file must not have', hint);
  }
  if (found.member) return failed('is a member of other roles', `REVOKE those roles FROM ${name};`);
  if (found.owns)
    return failed('owns a database', 'give it to another role: ALTER DATABASE … OWNER TO …;');
  if (!found.reach)
    return failed('is out of reach of the control role', `GRANT ${name} TO the control role;`);
  return [{ id, status: 'ok', message: `the load role ${role} is a login role without rights` }];
}
