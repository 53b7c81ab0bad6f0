import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';
import type { Target } from '../database.ts';

export function createRecords(kind: Target['kind']): Migration {
  return {
    async up(db) {
      const table = db.schema.createTable('records');
      const withId =
        kind === 'postgres'
          ? table.addColumn('id', 'bigint', (c) => c.generatedAlwaysAsIdentity().primaryKey())
          : table.addColumn('id', 'integer', (c) => c.primaryKey().autoIncrement());
      const time = kind === 'postgres' ? 'timestamptz' : 'text';
      await withId
        .addColumn('title', 'text', (c) => c.notNull())
        .addColumn('created_at', time, (c) => c.notNull().defaultTo(sql`CURRENT_TIMESTAMP`))
        .execute();
    },
  };
}
