import { type Kysely, sql } from 'kysely';
import type { Schema } from './database.ts';

export interface RecordRow {
  readonly id: number;
  readonly title: string;
  readonly created_at: string | Date;
}

const ROWS_PER_INSERT = 500;

export async function countRecords(db: Kysely<Schema>): Promise<number> {
  const row = await db
    .selectFrom('records')
    .select((e) => e.fn.countAll().as('count'))
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

export async function latestRecords(db: Kysely<Schema>, limit: number): Promise<RecordRow[]> {
  const rows = await db
    .selectFrom('records')
    .selectAll()
    .orderBy('id', 'desc')
    .limit(limit)
    .execute();
  // PostgreSQL's bigint comes as text.
  return rows.map((row) => ({ ...row, id: Number(row.id) }));
}

/** One record, or `count` numbered ones; all of them or none. */
export async function addRecords(db: Kysely<Schema>, title: string, count: number): Promise<void> {
  await db.transaction().execute(async (transaction) => {
    for (let done = 0; done < count; done += ROWS_PER_INSERT) {
      const values = Array.from({ length: Math.min(ROWS_PER_INSERT, count - done) }, (_, i) => ({
        title: count === 1 ? title : `${title} ${done + i + 1}`,
      }));
      await transaction.insertInto('records').values(values).execute();
    }
  });
}

export async function removeAllRecords(db: Kysely<Schema>): Promise<void> {
  await db.deleteFrom('records').execute();
}

export async function ping(db: Kysely<Schema>): Promise<void> {
  await sql`SELECT id FROM records LIMIT 1`.execute(db);
}
