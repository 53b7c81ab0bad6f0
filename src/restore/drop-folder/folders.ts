import { dirname, join } from 'node:path';
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

export function foldersOf(watchDir: string): Folders {
  const parent = dirname(watchDir);
  return {
    incoming: watchDir,
    check: join(watchDir, 'check'),
    work: join(parent, 'work'),
    done: join(parent, 'done'),
    failed: join(parent, 'failed'),
    previous: join(parent, 'previous'),
    requests: join(parent, 'requests'),
  };
}

/** Creates what is missing (0700, ours); what is there keeps its mode and owner. */
export async function ensureFolders(folders: Folders): Promise<void> {
  for (const folder of Object.values(folders)) await ensureFolder(folder);
  await syncFolder(dirname(folders.incoming));
}
