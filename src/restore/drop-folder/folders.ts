import { dirname, join } from 'node:path';
import { restorePlace } from '../../core/config/restore-places.ts';
import { ensureFolder, syncFolder } from '../../core/runtime/durable-files.ts';

/** RESTORE_WATCH_DIR and its siblings; absolute paths. */
export interface Folders {
  readonly incoming: string;
  /** `incoming/check`: what is dropped there is tested without a swap. */
  readonly check: string;
  readonly work: string;
  readonly done: string;
  readonly failed: string;
  readonly previous: string;
  readonly requests: string;
}

export function foldersOf(config: Parameters<typeof restorePlace>[0]): Folders {
  const incoming = restorePlace(config, 'incoming');
  return {
    incoming,
    check: join(incoming, 'check'),
    work: restorePlace(config, 'work'),
    done: restorePlace(config, 'done'),
    failed: restorePlace(config, 'failed'),
    previous: restorePlace(config, 'previous'),
    requests: restorePlace(config, 'requests'),
  };
}

/**
 * Creates what is missing (0700, ours); what is there keeps its mode and owner. A failing disk is no
 * reason not to begin where all of them are there: containers may have to be brought back.
 */
export async function ensureFolders(folders: Folders): Promise<void> {
  let isNew = false;
  for (const folder of Object.values(folders)) isNew = (await ensureFolder(folder)) || isNew;
  if (isNew) await syncFolder(dirname(folders.incoming));
}
