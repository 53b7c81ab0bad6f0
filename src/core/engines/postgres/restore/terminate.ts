import type { Clock } from '../../../runtime/clock.ts';
import { DropbackError } from '../../../runtime/errors.ts';
import { sqlState } from '../connection-errors.ts';
import type { Session } from '../session.ts';

const POLL_MS = 50;
const INSUFFICIENT_PRIVILEGE = '42501';

/**
 * Ends every session of these databases but our own. Returns one line for each that this role may
 * not end. Autovacuum is left out: the server itself sends it away from a database to be renamed.
 */
export async function terminateIn(session: Session, oids: readonly string[]): Promise<string[]> {
  const rows = await session.query<SessionRow>(`${SESSIONS} AND datid = ANY ($1::oid[])`, [oids]);
  return terminateEach(session, rows);
}

/** Ends every session in this database that isn't one of dropback's. Returns as terminateIn does. */
export async function terminateOthers(session: Session, oid: string): Promise<string[]> {
  const others = `${SESSIONS} AND datid = $1::oid AND application_name NOT LIKE 'dropback%'`;
  return terminateEach(session, await session.query<SessionRow>(others, [oid]));
}

/**
 * Ends every session with this application_name but our own, and waits until none is left: after
 * that nothing of a dead daemon can change anything any more.
 * Throws `restore/sessions-remain` after `mostMs`.
 */
export async function terminateNamed(
  session: Session,
  name: string,
  bounds: { readonly clock: Clock; readonly signal: AbortSignal; readonly mostMs: number },
): Promise<void> {
  const start = bounds.clock.monotonic();
  for (;;) {
    const rows = await session.query<SessionRow>(`${SESSIONS} AND application_name = $1`, [name]);
    if (rows.length === 0) return;
    const refused = await terminateEach(session, rows);
    if (bounds.clock.monotonic() - start > bounds.mostMs) throw sessionsRemain(name, refused);
    await bounds.clock.sleep(POLL_MS, bounds.signal);
  }
}

// The type of another role's session is hidden from whoever may not read its statistics (which
// pg_signal_backend doesn't include); a session that has a user is then taken for a client's.
const SESSIONS = `SELECT pid, coalesce(usename, '-') AS "user", application_name AS name
  FROM pg_stat_activity
 WHERE pid <> pg_backend_pid()
   AND coalesce(backend_type NOT IN ('autovacuum worker', 'parallel worker'), usesysid IS NOT NULL)`;

interface SessionRow {
  pid: number;
  user: string;
  name: string;
}

async function terminateEach(session: Session, rows: readonly SessionRow[]): Promise<string[]> {
  const refused: string[] = [];
  for (const { pid, user, name } of rows) {
    try {
      await session.query('SELECT pg_terminate_backend($1)', [pid]);
    } catch (error) {
      if (sqlState(error) !== INSUFFICIENT_PRIVILEGE) throw error;
      refused.push(`pid ${pid} of role ${user} (${name || 'no application_name'})`);
    }
  }
  return refused;
}

function sessionsRemain(name: string, refused: readonly string[]): DropbackError {
  return new DropbackError(
    'restore/sessions-remain',
    `sessions named ${JSON.stringify(name)} could not be ended: ${refused.join(', ') || 'they stay'}`,
    {
      hint: 'end them by hand with pg_terminate_backend(), or give RESTORE_ADMIN_URL a role that may (GRANT pg_signal_backend).',
      facts: { refused },
      retryable: true,
    },
  );
}
