import type { RestoreConfig } from '../config/config.ts';
import { restorePlace } from '../config/restore-places.ts';
import type { Logger } from '../observability/log.ts';
import type { Clock } from '../runtime/clock.ts';
import type { RestoreEngine } from './engine.ts';

/** The engine of this kind of database; only its own code is loaded. */
export async function openRestoreEngine(
  config: RestoreConfig,
  shared: { readonly clock: Clock; readonly log: Logger },
): Promise<RestoreEngine> {
  const { database, admin, load, maxStagingBytes, serverDataDir } = config;
  const budget = maxStagingBytes === undefined ? {} : { maxStagingBytes };
  if (database.kind === 'postgres') {
    const { PostgresInPlaceEngine } = await import('./postgres/in-place/engine.ts');
    return new PostgresInPlaceEngine({
      database,
      inPlace: config.inPlace,
      safetyFolder: restorePlace(config, 'previous'),
      ...(admin ? { admin } : {}),
      ...(load ? { load } : {}),
      ...(serverDataDir === undefined ? {} : { serverDataDir }),
      ...budget,
      ...shared,
    });
  }
  const { SqliteRestoreEngine } = await import('./sqlite/restore-engine.ts');
  return new SqliteRestoreEngine({ database, ...budget, ...shared });
}
