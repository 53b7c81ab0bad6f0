import type { BenchServer } from './postgres-server.ts';

/** From 100 MB on; fewer where the harness alone is tried. */
const SMALL_TABLES = 500;
/** Of one with its index, and what the catalogs have of it. */
const SMALL_MB = 0.07;
/** The events' part of all but the small tables, and of all of them where those take much of it. */
const EVENTS_OF_LARGE = 0.695;
const LEAST_EVENTS = 0.68;

/**
 * A database like an application's: one table that is 70% of it (events, with jsonb), narrow ones
 * (users, orders, their lines), wide rows with text and jsonb under a GIN index (documents), bytes
 * that don't compress (files), foreign keys, and 500 small tables.
 */
export async function fillPostgres(
  server: BenchServer,
  database: string,
  megabytes: number,
): Promise<void> {
  await server.sql(`CREATE DATABASE ${database}`);
  for (const statement of statements(megabytes)) await server.sql(statement, database);
  await server.sql('VACUUM ANALYZE', database);
}

/** Rows in a megabyte are as measured; the size of what came out is told with the results. */
function statements(megabytes: number): string[] {
  const small = Math.min(SMALL_TABLES, megabytes * 5);
  const large = Math.max(1, megabytes - small * SMALL_MB);
  const events = Math.max(large * EVENTS_OF_LARGE, megabytes * LEAST_EVENTS);
  // What is left for the others, told as the whole of which it would be their usual part.
  const rest = Math.max(large / 4, (large - events) / (1 - EVENTS_OF_LARGE));
  const users = Math.ceil(rest * 72);
  const orders = Math.ceil(rest * 180);
  return [
    `CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL UNIQUE, name text NOT NULL,
       city text, born date, active boolean NOT NULL)`,
    `INSERT INTO users SELECT i, 'user' || i || '@example.org', initcap(${word('i')} || ' ' || ${word('i * 7')}),
       ${word('i * 13')}, date '1950-01-01' + (i * 37 % 20000)::int, i % 9 > 0
       FROM generate_series(1::bigint, ${users}) AS i`,
    `CREATE TABLE events (id bigint PRIMARY KEY, created timestamptz NOT NULL, user_id bigint NOT NULL,
       kind text NOT NULL, session uuid NOT NULL, payload jsonb NOT NULL)`,
    `INSERT INTO events SELECT i, timestamptz '2025-01-01' + i * interval '11 seconds', 1 + (i * 7919) % ${users},
       (ARRAY['view','click','search','purchase','login'])[1 + i % 5], gen_random_uuid(),
       jsonb_build_object('path', '/' || ${word('i % 4999')} || '/' || (i % 977), 'ms', (random() * 900)::int,
         'agent', (ARRAY['Mozilla/5.0 (X11; Linux x86_64) Firefox/143.0',
           'Mozilla/5.0 (Macintosh; Intel Mac OS X 14_6) Safari/605.1.15',
           'Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/141.0'])[1 + i % 3],
         'ip', '10.' || (i % 250) || '.' || (i * 31 % 250) || '.' || (i * 17 % 250),
         'tags', jsonb_build_array(${word('i * 3')}, ${word('i * 5')}), 'price', round((random() * 1000)::numeric, 2))
       FROM generate_series(1::bigint, ${Math.ceil((events / EVENTS_OF_LARGE) * 2060)}) AS i`,
    `CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint NOT NULL, status text NOT NULL,
       placed timestamptz NOT NULL, cents bigint NOT NULL CHECK (cents > 0))`,
    `INSERT INTO orders SELECT i, 1 + (i * 31) % ${users}, (ARRAY['new','paid','sent','returned'])[1 + i % 4],
       timestamptz '2025-01-01' + i * interval '1 minute', 1 + (random() * 90000)::int
       FROM generate_series(1::bigint, ${orders}) AS i`,
    `CREATE TABLE lines (order_id bigint NOT NULL, position int NOT NULL, article int NOT NULL, amount int NOT NULL)`,
    `INSERT INTO lines SELECT i, n, (random() * 20000)::int, 1 + (random() * 5)::int
       FROM generate_series(1::bigint, ${orders}) AS i, generate_series(1, 3) AS n`,
    `CREATE TABLE documents (id bigint PRIMARY KEY, author bigint NOT NULL, title text NOT NULL, body text NOT NULL,
       ${Array.from({ length: 20 }, (_, n) => `c${n} int`).join(', ')}, meta jsonb NOT NULL)`,
    `INSERT INTO documents SELECT i, 1 + (i * 17) % ${users}, ${word('i')} || ' ' || i,
       (SELECT string_agg(${word('i * 11 + n * 7 + (random() * 5000)::int')}, ' ') FROM generate_series(1, 120) AS n),
       ${Array.from({ length: 20 }, (_, n) => `(i * ${n + 1}) % 1000`).join(', ')},
       jsonb_build_object('lang', (ARRAY['en','de','fr','pt'])[1 + i % 4], 'words', 120,
         'tags', jsonb_build_array(${word('i * 19')}, ${word('i * 23')}, ${word('i * 29')}))
       FROM generate_series(1::bigint, ${Math.ceil(rest * 90)}) AS i`,
    'CREATE TABLE files (id bigint PRIMARY KEY, owner bigint NOT NULL, content bytea NOT NULL)',
    'ALTER TABLE files ALTER content SET STORAGE EXTERNAL',
    `INSERT INTO files SELECT i, 1 + (i * 5) % ${users},
       (SELECT string_agg(sha512((i || '/' || n || random())::text::bytea), ''::bytea) FROM generate_series(1, 120) AS n)
       FROM generate_series(1::bigint, ${Math.ceil(rest * 18)}) AS i`,
    `DO $$ BEGIN FOR n IN 1..${small} LOOP
       EXECUTE format('CREATE TABLE small_%s (id int PRIMARY KEY, label text NOT NULL, value numeric)', n);
       EXECUTE format('INSERT INTO small_%s SELECT i, ''label '' || i, i * 1.5 FROM generate_series(1, 40) AS i', n);
       END LOOP; END $$`,
    'CREATE INDEX events_created ON events (created)',
    'CREATE INDEX events_user ON events (user_id)',
    'CREATE INDEX orders_user ON orders (user_id)',
    'ALTER TABLE lines ADD PRIMARY KEY (order_id, position)',
    'CREATE INDEX documents_meta ON documents USING gin (meta jsonb_path_ops)',
    'ALTER TABLE events ADD FOREIGN KEY (user_id) REFERENCES users',
    'ALTER TABLE orders ADD FOREIGN KEY (user_id) REFERENCES users',
    'ALTER TABLE lines ADD FOREIGN KEY (order_id) REFERENCES orders',
    'ALTER TABLE documents ADD FOREIGN KEY (author) REFERENCES users',
    'ALTER TABLE files ADD FOREIGN KEY (owner) REFERENCES users',
  ];
}

/** One of some thousand words, of three to eight letters, for an expression that is a number. */
function word(expression: string): string {
  return `substr(translate(md5(((${expression}) % 6000)::text), '0123456789', 'aeiounrstl'), 1, 3 + ((${expression}) % 6)::int)`;
}

export interface DatabaseFacts {
  readonly bytes: number;
  readonly rows: number;
  readonly tables: number;
  /** Of the largest table with its indexes, as a part of the whole. */
  readonly largest: number;
}

export async function postgresFacts(server: BenchServer, database: string): Promise<DatabaseFacts> {
  const printed = await server.sql(
    `SELECT pg_database_size(current_database()), sum(c.reltuples)::bigint, count(*),
            max(pg_total_relation_size(c.oid))::float8 / sum(pg_total_relation_size(c.oid))
       FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace`,
    database,
  );
  const [bytes = 0, rows = 0, tables = 0, largest = 0] = printed.split('|').map(Number);
  return { bytes, rows, tables, largest };
}
