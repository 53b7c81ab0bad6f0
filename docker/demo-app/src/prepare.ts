/** Before the server starts: waits for the database, creates it if it is missing, migrates it. */
import { setTimeout as delay } from 'node:timers/promises';
import { Migrator } from 'kysely/migration';
import pg from 'pg';
import { openDatabase, postgresSettings, targetOf } from './database.ts';
import { migrationsFor } from './migrations/index.ts';

const WAIT_SECONDS = 120;
const NO_SUCH_DATABASE = '3D000';
const DUPLICATE_DATABASE = '42P04';
/** No waiting mends these: wrong password, wrong user. */
const HOPELESS = ['28P01', '28000'];

const target = targetOf(process.env['DATABASE_URL'] ?? '');
if (target.kind === 'postgres') await ensurePostgres(target.url);
await migrate();

async function ensurePostgres(url: URL): Promise<void> {
  const until = Date.now() + WAIT_SECONDS * 1000;
  for (;;) {
    try {
      await connectTo(url, (client) => client.query('SELECT 1'));
      return;
    } catch (error) {
      const { code, message } = error as pg.DatabaseError;
      if (code === NO_SUCH_DATABASE) {
        await createDatabase(url);
        continue;
      }
      if (HOPELESS.includes(code ?? '') || Date.now() > until) throw error;
      console.log(`waiting for the database at ${url.host}: ${message || code}`);
      await delay(1000);
    }
  }
}

async function createDatabase(url: URL): Promise<void> {
  const name = decodeURIComponent(url.pathname.slice(1));
  const maintenance = new URL(url);
  maintenance.pathname = '/postgres';
  console.log(`creating the database ${name}`);
  await connectTo(maintenance, (client) =>
    client.query(`CREATE DATABASE ${client.escapeIdentifier(name)}`),
  ).catch((error: pg.DatabaseError) => {
    // Another instance was faster.
    if (error.code !== DUPLICATE_DATABASE) throw error;
  });
}

async function connectTo(url: URL, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client(postgresSettings(url));
  client.on('error', () => {});
  try {
    await client.connect();
    await work(client);
  } finally {
    await client.end().catch(() => {});
  }
}

async function migrate(): Promise<void> {
  const db = openDatabase(target);
  try {
    const provider = { getMigrations: async () => migrationsFor(target.kind) };
    const { error, results } = await new Migrator({ db, provider }).migrateToLatest();
    for (const { migrationName, status } of results ?? []) {
      console.log(`migration ${migrationName}: ${status.toLowerCase()}`);
    }
    if (error) throw error;
  } finally {
    await db.destroy();
  }
}
