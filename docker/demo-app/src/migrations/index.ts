import type { Migration } from 'kysely/migration';
import type { Target } from '../database.ts';
import { createRecords } from './2026-01-10-create-records.ts';
import { indexRecordsByTime } from './2026-02-20-index-records-by-time.ts';

/** Applied in the order of their names, each once; a name never changes. */
export function migrationsFor(kind: Target['kind']): Record<string, Migration> {
  return {
    '2026-01-10-create-records': createRecords(kind),
    '2026-02-20-index-records-by-time': indexRecordsByTime,
  };
}
