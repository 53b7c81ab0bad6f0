import type { DatabaseConfig, PostgresDatabase } from '../config/config.ts';
import type { Logger } from '../observability/log.ts';
import type { Clock } from '../runtime/clock.ts';
import { connect } from './postgres/connection.ts';

interface Entry {
  readonly name: string;
  readonly database: DatabaseConfig;
}

type PostgresEntry = Entry & { readonly database: PostgresDatabase };

/** A server that is away is asked again. Milliseconds. */
const AGAIN_MS = 600_000;

/**
 * Tells of entries that are one database under two addresses, which only the server knows: each would
 * be backed up twice, and restored by two that know nothing of each other but the lock. Until every
 * server has answered once. Never rejects. (Two paths to one SQLite file are refused at once.)
 */
export async function tellSameDatabases(
  entries: readonly Entry[],
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
  signal: AbortSignal,
): Promise<void> {
  const owners = new Map<string, string>();
  let left = entries.filter((entry): entry is PostgresEntry => entry.database.kind === 'postgres');
  if (left.length < 2) return;
  while (left.length > 0 && !signal.aborted) {
    const unknown: PostgresEntry[] = [];
    for (const group of groupsOf(left)) {
      const identities = await identitiesOf(group, log, signal);
      for (const entry of group) {
        const identity = identities.get(entry.name);
        if (identity === undefined) unknown.push(entry);
        else tellOwner(owners, identity, entry.name, log);
      }
    }
    left = unknown;
    if (left.length > 0) await clock.sleep(AGAIN_MS, signal).catch(() => {});
  }
}

function tellOwner(owners: Map<string, string>, identity: string, name: string, log: Logger) {
  const owner = owners.get(identity);
  owners.set(identity, owner ?? name);
  if (owner === undefined) return;
  const hint = 'remove one of the two entries of DATABASES_FILE; its backups stay where they are.';
  log.error({ databases: [owner, name], hint }, `${name} is the same database as ${owner}`);
}

/** One connection is enough for all databases that are reached in the same way. */
function groupsOf(entries: readonly PostgresEntry[]): PostgresEntry[][] {
  const groups = Map.groupBy(entries, ({ database: { connection, maintenanceDatabase } }) => {
    const { database: _, ...way } = connection;
    return JSON.stringify([way, maintenanceDatabase]);
  });
  return [...groups.values()];
}

/** Name of the entry → server and OID; of those that there are. */
async function identitiesOf(
  group: readonly PostgresEntry[],
  log: Logger,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const [first] = group;
  if (!first) return new Map();
  const { connection, maintenanceDatabase } = first.database;
  try {
    await using session = await connect(connection, {
      database: maintenanceDatabase,
      applicationName: 'dropback checks',
      signal,
    });
    const rows = await session.query<{ name: string; identity: string }>(
      `SELECT d.datname AS name, s.system_identifier || '/' || d.oid AS identity
         FROM pg_database d, pg_control_system() s WHERE d.datname = ANY($1)`,
      [group.map(({ database }) => database.connection.database)],
    );
    const byDatabase = new Map(rows.map(({ name, identity }) => [name, identity]));
    return new Map(
      group.flatMap(({ name, database }) => {
        const identity = byDatabase.get(database.connection.database);
        return identity === undefined ? [] : [[name, identity] as const];
      }),
    );
  } catch (error) {
    // That it is away, or lets us not in, is told by those who need it.
    if (!signal.aborted) log.debug({ error }, 'a server could not be asked who it is');
    return new Map();
  }
}
