import type { CheckResult } from '../../engine.ts';
import { fitsName } from '../quoting.ts';
import type { ServerInfo } from '../server-info.ts';
import type { Session } from '../session.ts';
import type { DatabaseFacts } from './live.ts';
import { parseDatabaseName } from './names.ts';
import type { Server } from './server.ts';

/** What would stand in the way of a swap, whatever the file is. */
export async function liveObstacles(
  session: Session,
  server: Server,
  info: ServerInfo,
  live: DatabaseFacts | undefined,
): Promise<CheckResult[]> {
  const results = nameObstacles(server);
  if (info.inRecovery) {
    const hint = 'give the address of the primary.';
    results.push(
      failed('standby', 'the server is a standby: nothing can be restored into it', hint),
    );
  }
  if (live) {
    results.push(...databaseObstacles(live), ...(await preparedTransactions(session, live)));
  }
  return results;
}

function nameObstacles(server: Server): CheckResult[] {
  const { liveName, maintenanceDatabase } = server;
  if (!fitsName(liveName)) {
    const hint = 'correct the name of the database in DATABASE_URL.';
    return [failed('name', `${JSON.stringify(liveName)} cannot be a name: 63 bytes at most`, hint)];
  }
  if (liveName === maintenanceDatabase) {
    const hint =
      'set RESTORE_MAINTENANCE_DB to another database of this server, for example template1 or one made for this.';
    const what = `${liveName} is itself the maintenance database, from which it cannot be renamed`;
    return [failed('maintenance', what, hint)];
  }
  if (['template0', 'template1'].includes(liveName) || parseDatabaseName(liveName)) {
    const hint = "give the application's own database.";
    return [failed('name', `${liveName} is not a database to restore into`, hint)];
  }
  return [];
}

function databaseObstacles(live: DatabaseFacts): CheckResult[] {
  if (live.connectionLimit === -2) {
    const hint = `drop what an interrupted DROP DATABASE left of it: DROP DATABASE "${live.name}";`;
    return [failed('half-dropped', `the database ${live.name} is half dropped`, hint)];
  }
  if (live.isTemplate || !live.allowsConnections) {
    const what = live.isTemplate ? 'is a template' : 'allows no connections';
    const hint = "give the application's own database, or change that with ALTER DATABASE.";
    return [failed('unusable', `the database ${live.name} ${what}`, hint)];
  }
  if (!live.tablespaceUsable) {
    const hint = `let a superuser run: GRANT CREATE ON TABLESPACE "${live.tablespace}" TO the role;`;
    return [
      failed('tablespace', `may not create databases in tablespace ${live.tablespace}`, hint),
    ];
  }
  return [];
}

export async function preparedTransactions(
  session: Session,
  live: Pick<DatabaseFacts, 'name'>,
): Promise<CheckResult[]> {
  const rows = await session.query<{ gid: string }>(
    'SELECT gid FROM pg_prepared_xacts WHERE database = $1 ORDER BY prepared LIMIT 10',
    [live.name],
  );
  if (rows.length === 0) return [];
  const names = rows.map((row) => JSON.stringify(row.gid)).join(', ');
  const hint = `in ${live.name}, run COMMIT PREPARED or ROLLBACK PREPARED for each of them.`;
  return [failed('prepared', `prepared transactions block the swap: ${names}`, hint)];
}

/** What stays with the old database and has to be made again in the new one. */
export async function leftBehind(session: Session, liveOid: string): Promise<string[]> {
  const slots = await session.query<{ name: string }>(
    'SELECT slot_name AS name FROM pg_replication_slots WHERE datoid = $1::oid ORDER BY 1',
    [liveOid],
  );
  const subscriptions = await session.query<{ name: string }>(
    'SELECT subname AS name FROM pg_subscription WHERE subdbid = $1::oid ORDER BY 1',
    [liveOid],
  );
  return [
    ...slots.map(
      ({ name }) =>
        `the logical replication slot ${name} stays with the previous database: its consumer has to begin anew`,
    ),
    ...subscriptions.map(
      ({ name }) =>
        `the subscription ${name} stays with the previous database and keeps it from being dropped: drop it there, create it in the new one`,
    ),
  ];
}

function failed(id: string, message: string, hint: string): CheckResult {
  return { id: `postgres/live/${id}`, status: 'failed', message, hint };
}
