import { DropbackError } from '../../../runtime/errors.ts';
import { installedClients, type PostgresClient, psqlIsSafe } from '../clients.ts';

/**
 * The smallest installed psql that is at least the server's major and holds a hostile script: until
 * some minor releases its restricted mode could be left. Throws `tool/psql-unsafe`.
 */
export async function choosePsql(
  serverMajor: number,
  signal: AbortSignal,
): Promise<PostgresClient> {
  const installed = await installedClients(signal);
  const usable = installed.filter((one) => one.programs.psql && one.major >= serverMajor);
  const safe = usable.find((one) => psqlIsSafe(one.version));
  if (safe) return safe;
  const found = usable.map((one) => `${one.version} (${one.folder})`).join(', ') || 'none';
  throw new DropbackError(
    'tool/psql-unsafe',
    `no installed psql for PostgreSQL ${serverMajor} holds a hostile script: ${found}`,
    {
      hint: 'update the PostgreSQL client: 14.24, 15.19, 16.15, 17.11 or 18.6 at least. Archives (pg_dump -Fc) need no psql.',
      facts: { installed: found },
    },
  );
}
