import { runShell } from './shell.ts';

/** In WAL mode: rows of text that compress, with bytes that don't, and indexes. */
export async function fillSqlite(path: string, megabytes: number): Promise<void> {
  const rows = Math.ceil(megabytes * 1150);
  const words = [1, 2, 3, 4, 5]
    .map(
      (n) =>
        `printf('%s-%04d ', substr('alphabetagammadeltaomega', 1 + (i * ${n}) % 17, 7), (i * ${n * 7}) % 6000)`,
    )
    .join(' || ');
  await runShell(
    `sqlite3 "$DATABASE" <<'END'
PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;
CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT NOT NULL);
CREATE TABLE notes (id INTEGER PRIMARY KEY, user INTEGER NOT NULL REFERENCES users, title TEXT NOT NULL,
  body TEXT NOT NULL, thumbnail BLOB NOT NULL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${Math.ceil(rows / 20)})
  INSERT INTO users SELECT i, printf('user%08d@example.org', i), printf('User %d', i) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
  INSERT INTO notes SELECT i, 1 + i % ${Math.ceil(rows / 20)}, ${words}, ${Array(8).fill(words).join(' || ')}, randomblob(260) FROM n;
CREATE INDEX notes_by_user ON notes (user);
CREATE INDEX notes_by_title ON notes (title);
PRAGMA wal_checkpoint(TRUNCATE);
END`,
    { environment: { DATABASE: path } },
  );
}
