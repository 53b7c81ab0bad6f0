import type { Migration } from 'kysely/migration';

export const indexRecordsByTime: Migration = {
  async up(db) {
    await db.schema
      .createIndex('records_created_at')
      .on('records')
      .columns(['created_at', 'id'])
      .execute();
  },
};
