import { join } from 'node:path';
import type { CommonConfig } from '../config/config.ts';
import type { Logger } from '../observability/log.ts';
import type { Clock } from '../runtime/clock.ts';
import type { RateLimit } from '../runtime/rate-limit.ts';
import { LocalStore } from './local/store.ts';
import type { S3Store } from './s3/store.ts';

/** One database's stores: the local one, and the remote one where S3_BUCKET is set. */
export interface Stores {
  readonly local: LocalStore;
  readonly remote?: S3Store;
}

/** `readOnly`: for those who only fetch. The S3 client is loaded only where it is needed. */
export async function openStores(
  config: CommonConfig,
  options: {
    readonly log: Logger;
    readonly clock: Clock;
    readonly readOnly: boolean;
    readonly uploadLimit?: RateLimit;
  },
): Promise<Stores> {
  const local = new LocalStore(join(config.backupDir, config.name), config.name);
  if (!config.s3) return { local };
  const { S3Store } = await import('./s3/store.ts');
  return { local, remote: new S3Store(config.s3, config.name, options) };
}
