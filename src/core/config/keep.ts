import type { KeepPolicy } from './config.ts';
import type { Environment } from './environment.ts';
import { read } from './reader.ts';
import { integer } from './values.ts';

const count = integer(0, 100_000);

/** BACKUP_KEEP_* or S3_KEEP_*. */
export function readKeep(environment: Environment, store: 'BACKUP' | 'S3'): KeepPolicy {
  const policy: KeepPolicy = {
    last: read(environment, `${store}_KEEP_LAST`, count),
    hourly: read(environment, `${store}_KEEP_HOURLY`, count),
    daily: read(environment, `${store}_KEEP_DAILY`, count),
    weekly: read(environment, `${store}_KEEP_WEEKLY`, count),
    monthly: read(environment, `${store}_KEEP_MONTHLY`, count),
    yearly: read(environment, `${store}_KEEP_YEARLY`, count),
    days: read(environment, `${store}_KEEP_DAYS`, count),
  };
  if (Object.values(policy).every((kept) => kept === 0)) {
    environment.problem(
      `${store}_KEEP_LAST`,
      `and the other ${store}_KEEP_ variables are all 0: nothing would be kept`,
      `set at least one of them above 0; ${store}_KEEP_DAYS=3650 keeps everything for ten years.`,
    );
  }
  return policy;
}
