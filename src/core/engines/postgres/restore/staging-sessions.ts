import { ident } from '../quoting.ts';
import type { Session } from '../session.ts';
import { applicationName } from './names.ts';
import type { Server } from './server.ts';
import { terminateIn } from './terminate.ts';

/**
 * Opens control's session in a staging database that content of a file has run in. First nobody else
 * is left there, and what the content has set on the database is gone: a setting such as `role` or
 * `session_preload_libraries` would act on us while we connect.
 */
export async function enterStaging(
  server: Server,
  maintenance: Session,
  staging: { readonly id: string; readonly name: string; readonly oid: string },
  signal: AbortSignal,
): Promise<Session> {
  await terminateIn(maintenance, [staging.oid]);
  await resetSettings(maintenance, staging);
  return server.open({
    applicationName: applicationName(staging.id),
    database: staging.name,
    signal,
  });
}

async function resetSettings(
  maintenance: Session,
  staging: { readonly name: string; readonly oid: string },
): Promise<void> {
  const rows = await maintenance.query<{ role: string | null }>(
    `SELECT CASE WHEN setrole <> 0 THEN pg_get_userbyid(setrole) END AS role
       FROM pg_db_role_setting WHERE setdatabase = $1::oid`,
    [staging.oid],
  );
  for (const { role } of rows) {
    const target = role === null ? '' : `ROLE ${ident(role)} IN `;
    await maintenance.query(`ALTER ${target}DATABASE ${ident(staging.name)} RESET ALL`);
  }
}
