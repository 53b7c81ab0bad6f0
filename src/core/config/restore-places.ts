import { basename, dirname, join } from 'node:path';
import type { RestoreConfig } from './config.ts';

type Placed = Pick<RestoreConfig, 'watchDir' | 'isOneOfSeveral'> & { readonly name?: string };

/** RESTORE_WATCH_DIR and its siblings, absolute; of several databases each has a folder in each. */
export function restorePlace(
  config: Placed,
  folder: 'incoming' | 'work' | 'done' | 'failed' | 'previous' | 'requests',
): string {
  const { watchDir } = config;
  const shared = folder === 'incoming' ? watchDir : join(dirname(watchDir), folder);
  return config.isOneOfSeveral && config.name ? join(shared, config.name) : shared;
}

/** The journal: RESTORE_STATE_FILE; of several databases `state/<name>/` beside it, called the same. */
export function journalPlace(config: Placed & Pick<RestoreConfig, 'stateFile'>): string {
  const { stateFile } = config;
  if (!config.isOneOfSeveral || !config.name) return stateFile;
  return join(dirname(stateFile), 'state', config.name, basename(stateFile));
}
