import type { TableCount } from '../../../archive/manifest.ts';
import type { Server } from './server.ts';

const MOST_NAMES = 10;

/**
 * A file of others says itself what it holds: where a table of it has no rows and the live one has some
 * (`pg_dump --exclude-table-data`, a dump of a fresh installation), whoever restores it loses them.
 * From the server's statistics: nothing is locked or read in the live database.
 */
export async function emptiedTables(
  server: Server,
  loaded: readonly TableCount[],
  signal: AbortSignal,
): Promise<string[]> {
  const empty = loaded.filter(({ rows }) => rows === 0);
  if (empty.length === 0) return [];
  await using inLive = await server.open({
    applicationName: 'dropback compare',
    database: server.liveName,
    signal,
  });
  const emptied = await inLive.query<{ path: string; size: string }>(
    `SELECT format('%s.%s', n.nspname, c.relname) AS path, pg_size_pretty(pg_table_size(c.oid)) AS size
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       JOIN unnest($1::text[], $2::text[]) AS e (schema, name) ON e.schema = n.nspname AND e.name = c.relname
      WHERE c.relkind = 'r' AND pg_relation_size(c.oid) > 0
        AND (pg_stat_get_live_tuples(c.oid) > 0 OR c.reltuples > 0)
      ORDER BY pg_table_size(c.oid) DESC, 1`,
    [empty.map(({ schema }) => schema), empty.map(({ name }) => name)],
  );
  if (emptied.length === 0) return [];
  const names = emptied.slice(0, MOST_NAMES).map(({ path, size }) => `${path} (${size})`);
  const more = emptied.length > MOST_NAMES ? ` and ${emptied.length - MOST_NAMES} more` : '';
  return [`tables that have rows now are empty in the file: ${names.join(', ')}${more}`];
}
