import { DropbackError } from '../../../runtime/errors.ts';
import { ident, literal } from '../quoting.ts';
import type { Session } from '../session.ts';
import { type AclEntry, type DatabaseProfile, profileDifferences, readProfile } from './profile.ts';
import { settingValue } from './setting-value.ts';
import { inTransaction } from './transaction.ts';

/**
 * Puts on `staging` what `wanted` says, comment excepted, and proves it by reading the catalogs
 * again. One transaction; connects to neither database. Throws `restore/settings-differ`.
 */
export async function carryOver(
  session: Session,
  staging: { readonly name: string; readonly oid: string },
  wanted: DatabaseProfile,
): Promise<void> {
  const before = await readProfile(session, staging.oid);
  if (before && profileDifferences(wanted, before).length === 0) return;
  await inTransaction(session, async () => {
    await putOwner(session, staging.name, wanted, before);
    await putAcl(session, staging, wanted.acl);
    await putSettings(session, staging, wanted);
    const database = ident(staging.name);
    await session.query(`ALTER DATABASE ${database} CONNECTION LIMIT ${wanted.connectionLimit}`);
    await session.query(`ALTER DATABASE ${database} IS_TEMPLATE ${wanted.isTemplate}`);
    for (const { provider, label } of wanted.labels) {
      const text = `SECURITY LABEL FOR ${ident(provider)} ON DATABASE ${database} IS`;
      await session.query(`${text} ${literal(label)}`);
    }
  });
  const after = await readProfile(session, staging.oid);
  const differences = after ? profileDifferences(wanted, after) : ['the database is gone'];
  if (differences.length === 0) return;
  throw new DropbackError(
    'restore/settings-differ',
    `the staging database did not take every setting of the live one: ${differences.join('; ')}`,
    {
      hint: 'set RESTORE_ADMIN_URL to a superuser, or remove the setting that is named here.',
      facts: { differences },
    },
  );
}

async function putOwner(
  session: Session,
  name: string,
  wanted: DatabaseProfile,
  before: DatabaseProfile | undefined,
): Promise<void> {
  if (before?.owner === wanted.owner) return;
  await session.query(`ALTER DATABASE ${ident(name)} OWNER TO ${ident(wanted.owner)}`);
}

/** From nothing: whoever has something now loses it, then each grant is made by its grantor. */
async function putAcl(
  session: Session,
  staging: { readonly name: string; readonly oid: string },
  wanted: readonly AclEntry[],
): Promise<void> {
  const now = await readProfile(session, staging.oid);
  const grantees = new Set((now?.acl ?? []).map((entry) => entry.grantee));
  for (const grantee of grantees) {
    const from = `ON DATABASE ${ident(staging.name)} FROM ${roleOrPublic(grantee)}`;
    await session.query(`REVOKE ALL ${from} CASCADE`);
  }
  const owner = now?.owner;
  for (const entry of grantOrder(wanted, owner)) {
    const { grantor, grantee, privilege, grantable } = entry;
    // The owner's grants are recorded as the owner's whoever of its members makes them.
    const asOther = grantor !== owner;
    if (asOther) await session.query(`SET LOCAL ROLE ${ident(grantor)}`);
    const option = grantable ? ' WITH GRANT OPTION' : '';
    const to = `ON DATABASE ${ident(staging.name)} TO ${roleOrPublic(grantee)}`;
    await session.query(`GRANT ${privilege} ${to}${option}`);
    if (asOther) await session.query('RESET ROLE');
  }
}

/** A grant option must be there before somebody makes use of it. */
export function grantOrder(entries: readonly AclEntry[], owner: string | undefined): AclEntry[] {
  const ordered: AclEntry[] = [];
  const left = [...entries];
  const holds = (role: string, privilege: string) =>
    role === owner ||
    ordered.some((e) => e.grantee === role && e.privilege === privilege && e.grantable);
  while (left.length > 0) {
    const next = left.findIndex((entry) => holds(entry.grantor, entry.privilege));
    // Nobody can make it now: the server says why, which is more than we could.
    ordered.push(...left.splice(Math.max(next, 0), 1));
  }
  return ordered;
}

async function putSettings(
  session: Session,
  staging: { readonly name: string; readonly oid: string },
  wanted: DatabaseProfile,
): Promise<void> {
  const now = await readProfile(session, staging.oid);
  const target = (role: string | null) =>
    role === null
      ? `ALTER DATABASE ${ident(staging.name)}`
      : `ALTER ROLE ${ident(role)} IN DATABASE ${ident(staging.name)}`;
  for (const role of new Set((now?.settings ?? []).map((setting) => setting.role))) {
    await session.query(`${target(role)} RESET ALL`);
  }
  for (const { role, name, value } of wanted.settings) {
    await session.query(`${target(role)} SET ${ident(name)} TO ${settingValue(name, value)}`);
  }
}

function roleOrPublic(role: string | null): string {
  return role === null ? 'PUBLIC' : ident(role);
}
