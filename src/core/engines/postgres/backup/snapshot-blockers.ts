import { DropbackError } from '../../../runtime/errors.ts';
import type { Session } from '../session.ts';

/**
 * Who holds, or waits for, a lock that keeps even readers out of a table, one line each:
 * `migrate (role app, pid 4711, idle in transaction) on public.orders`.
 */
export async function findBlockers(session: Session): Promise<string[]> {
  const rows = await session.query<{
    pid: number;
    name: string | null;
    role: string | null;
    state: string | null;
    table: string;
    granted: boolean;
  }>(
    `SELECT l.pid, nullif(a.application_name, '') AS name, a.usename AS role, a.state,
            concat_ws('.', n.nspname, c.relname) AS table, l.granted
       FROM pg_locks l
       JOIN pg_class c ON c.oid = l.relation
       JOIN pg_namespace n ON n.oid = c.relnamespace
       LEFT JOIN pg_stat_activity a ON a.pid = l.pid
      WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock'
        AND c.relkind IN ('r', 'p', 'S', 'm', 'v')
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND l.pid <> pg_backend_pid()
      ORDER BY l.granted DESC, l.pid LIMIT 10`,
  );
  return rows.map((row) => {
    const who = `${row.name ?? 'a session'} (role ${row.role ?? 'unknown'}, pid ${row.pid}, ${row.state ?? 'state unknown'})`;
    return `${who} ${row.granted ? 'on' : 'waiting for'} ${row.table}`;
  });
}

/**
 * Whether no view or sequence is locked against reading, nor about to be. Asked in the transaction that
 * holds the tables.
 */
export async function isNothingElseLocked(session: Session): Promise<boolean> {
  const { free } = await session.queryOne<{ free: boolean }>(
    `SELECT NOT EXISTS (
       SELECT FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
        WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock'
          AND c.relkind IN ('v', 'm', 'S') AND c.relpersistence <> 't'
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND l.pid <> pg_backend_pid()) AS free`,
  );
  return free;
}

export function lockedError(blockers: readonly string[], cause: unknown): DropbackError {
  const by = blockers.length > 0 ? blockers.join('; ') : 'a session that has ended since';
  return new DropbackError(
    'backup/locked',
    `a table or view stayed locked against reading by ${by}`,
    {
      hint: 'end that transaction (or let the migration finish); the next run takes the backup.',
      facts: { blockers },
      retryable: true,
      cause,
    },
  );
}
