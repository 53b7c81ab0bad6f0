import type { SavedRole } from '../../../archive/manifest.ts';
import type { CreatedRoles } from '../../engine.ts';
import { fitsName, ident } from '../quoting.ts';
import { isStandIn } from '../restore/stand-in.ts';
import { inTransaction } from '../restore/transaction.ts';
import type { Session } from '../session.ts';
import { refused } from './refused.ts';
import { createRole, grantMembership, isPrivileged, setRoleSettings } from './role-statements.ts';

/**
 * Makes the roles that the server lacks, in one transaction, with their settings and memberships. A
 * role that is there keeps everything that it has; all that it may gain is the membership of a new one.
 * What this session has no right to give is left out and told.
 */
export async function createRoles(
  session: Session,
  saved: readonly SavedRole[],
): Promise<CreatedRoles> {
  const there = await existing(session, rolesIn(saved));
  const missing = saved.filter(({ name }) => !there.has(name) && mayBeMade(name));
  const created = missing.map(({ name }) => name);
  if (missing.length === 0) return { created, notes: [] };
  const notes: string[] = [];
  await inTransaction(session, async () => {
    for (const role of missing) await makeRole(session, role, notes);
    for (const role of missing) {
      for (const [index, statement] of setRoleSettings(role).entries()) {
        // Neither the value nor what the server says of it: it may be a secret.
        if ((await refused(session, statement)) === undefined) continue;
        const { name } = role.settings[index] ?? { name: '' };
        notes.push(`left out: the setting ${name} of the role ${ident(role.name)}`);
      }
    }
    const known = new Set([...there, ...created]);
    for (const role of saved) {
      if (!known.has(role.name)) continue;
      for (const membership of role.memberOf) {
        const isNew = created.includes(role.name) || created.includes(membership.role);
        if (!isNew || !known.has(membership.role)) continue;
        await attempt(session, grantMembership(role.name, membership, session.major), notes);
      }
    }
  });
  return { created, notes: [...summary(missing), ...notes] };
}

function summary(made: readonly SavedRole[]): string[] {
  const names = (roles: readonly SavedRole[]) => roles.map(({ name }) => ident(name)).join(', ');
  const logins = made.filter(
    ({ attributes, password }) => attributes.includes('LOGIN') && password === undefined,
  );
  const lines = [`created the roles that were missing here: ${names(made)}`];
  if (logins.length > 0) {
    lines.push(
      `created without a password, which a backup doesn't hold: ${names(logins)}; give them theirs (ALTER ROLE … PASSWORD)`,
    );
  }
  return lines;
}

/** Placeholder owners of our own are made by the restore itself, with their mark. */
function mayBeMade(name: string): boolean {
  return fitsName(name) && !isStandIn(name) && !/^pg_|^(public|none)$/.test(name);
}

function rolesIn(saved: readonly SavedRole[]): string[] {
  return saved.flatMap(({ name, memberOf }) => [name, ...memberOf.map(({ role }) => role)]);
}

async function existing(session: Session, names: readonly string[]): Promise<Set<string>> {
  const rows = await session.query<{ name: string }>(
    'SELECT rolname AS name FROM pg_roles WHERE rolname = ANY ($1::text[])',
    [names],
  );
  return new Set(rows.map(({ name }) => name));
}

async function makeRole(session: Session, role: SavedRole, notes: string[]): Promise<void> {
  const plain = isPrivileged(role) && (await refused(session, createRole(role))) !== undefined;
  if (plain || !isPrivileged(role)) await session.query(createRole(role, plain));
  if (plain) {
    const left = `a right that only a superuser can give was left out: ${role.attributes.join(', ')}`;
    notes.push(`the role ${ident(role.name)}: ${left}`);
  }
  const { superuser } = await session.queryOne<{ superuser: boolean }>(
    'SELECT rolsuper AS superuser FROM pg_roles WHERE rolname = current_user',
  );
  if (superuser) return;
  // Else this session could give it neither the database nor what it owns there.
  const options = session.major >= 16 ? ' WITH INHERIT TRUE, SET TRUE' : '';
  await session.query(`GRANT ${ident(role.name)} TO CURRENT_USER${options}`);
}

async function attempt(session: Session, statement: string, notes: string[]): Promise<void> {
  const reason = await refused(session, statement);
  if (reason !== undefined) notes.push(`left out: ${statement}: ${reason}`);
}
