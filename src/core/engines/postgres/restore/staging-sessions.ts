import { DropbackError } from '../../../runtime/errors.ts';
import { ident } from '../quoting.ts';
import type { Session } from '../session.ts';
import { applicationName } from './names.ts';
import type { Server } from './server.ts';

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
  await emptyOf(maintenance, staging.oid);
  await resetSettings(maintenance, staging);
  return server.open({
    applicationName: applicationName(staging.id),
    database: staging.name,
    signal,
  });
}

const END_MOST_MS = 30_000;

/** Waits for each to be gone: until then it could set things anew behind our back. */
async function emptyOf(maintenance: Session, oid: string): Promise<void> {
  const rows = await maintenance.query<{ gone: boolean }>(
    `SELECT pg_terminate_backend(pid, $2) AS gone FROM pg_stat_activity
      WHERE datid = $1::oid AND backend_type = 'client backend'`,
    [oid, END_MOST_MS],
  );
  if (rows.every(({ gone }) => gone)) return;
  throw new DropbackError('restore/sessions-remain', 'a session of the load does not end', {
    hint: "look into the server's log; the restore can be tried again.",
    retryable: true,
  });
}

/**
 * What a file does while it is analysed counts as a change of its tables: autovacuum would come, and
 * run their expressions as whoever owns them by then. Without changes there is nothing to analyse.
 */
export async function forgetChanges(inStaging: Session): Promise<void> {
  const { may } = await inStaging.queryOne<{ may: boolean }>(
    `SELECT has_function_privilege('pg_stat_reset_single_table_counters(oid)', 'EXECUTE') AS may`,
  );
  if (!may) return;
  await inStaging.query(
    `SELECT pg_stat_reset_single_table_counters(relid) FROM pg_stat_user_tables
      WHERE n_mod_since_analyze > 0`,
  );
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
