import type { CheckResult } from '../../engine.ts';
import { chooseClient } from '../clients.ts';
import { failure, guarded } from '../guarded-check.ts';
import { ident } from '../quoting.ts';
import type { Server } from '../restore/server.ts';
import { readServerInfo } from '../server-info.ts';
import type { Session } from '../session.ts';

/** What rehearsals need of their server, by real calls. */
export async function rehearsalChecks(server: Server, signal: AbortSignal): Promise<CheckResult[]> {
  const id = 'postgres/verify/reachable';
  try {
    await using session = await server.open({ applicationName: 'dropback checks', signal });
    const message = `rehearsals: ${session.where} answers, PostgreSQL ${session.version}`;
    return [
      { id, status: 'ok', message },
      await guarded('postgres/verify/rights', signal, () => rights(session)),
      await guarded('postgres/verify/client', signal, async () => {
        const need = { serverMajor: session.major, programs: ['pg_restore'] as const };
        const { version, folder } = await chooseClient(need, signal);
        const found = `pg_restore ${version} for server ${session.version} (${folder})`;
        return { id: 'postgres/verify/client', status: 'ok', message: found };
      }),
    ];
  } catch (error) {
    return [failure(id, error, signal)];
  }
}

async function rights(session: Session): Promise<CheckResult> {
  const id = 'postgres/verify/rights';
  const info = await readServerInfo(session);
  const { role } = await session.queryOne<{ role: string }>('SELECT current_user AS role');
  if (!info.canCreateDatabases) {
    return {
      id,
      status: 'failed',
      message: `rehearsals: ${role} may not create databases`,
      hint: `let a superuser run: ALTER ROLE ${ident(role)} CREATEDB; or set BACKUP_VERIFY_URL.`,
    };
  }
  const loader = info.canCreateRoles
    ? 'and loads as a role without rights, made for it'
    : 'and loads itself';
  return { id, status: 'ok', message: `rehearsals: ${role} may create databases, ${loader}` };
}
