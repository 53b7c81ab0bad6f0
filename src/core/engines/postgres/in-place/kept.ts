import { readExtensions } from '../catalog.ts';
import { applicationName } from '../restore/names.ts';
import type { Server } from '../restore/server.ts';
import type { Kept } from './archive-script.ts';

/** Extensions stay where they are, with the schemas that they are in. */
export async function readKept(server: Server, id: string, signal: AbortSignal): Promise<Kept> {
  await using session = await server.open({
    applicationName: applicationName(id),
    database: server.liveName,
    signal,
  });
  const extensions = await readExtensions(session);
  const schemas = await session.query<{ name: string }>(
    `SELECT DISTINCT nspname AS name FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
      WHERE e.oid >= 16384 AND n.oid >= 16384`,
  );
  return {
    extensions: extensions.map(({ name }) => name),
    schemas: schemas.map(({ name }) => name),
  };
}
