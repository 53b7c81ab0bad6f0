import { createReadStream, statSync } from 'node:fs';
import { constants, DatabaseSync } from 'node:sqlite';
import { DropbackError, messageOf } from '../../../runtime/errors.ts';
import type { LoadRequest } from '../protocol.ts';
import { pragma } from './connection.ts';
import { sqliteCode } from './sqlite-errors.ts';
import { bare, StatementSplitter } from './statements.ts';

/** Statements are run together up to this size: one by one costs a call each. */
const BATCH_CHARACTERS = 256 * 1024;

/**
 * Loads a text dump into a new file. The text is untrusted and runs in this process, behind SQLite's
 * own authorizer: it reaches nothing but this one file. (The sqlite3 program's safe mode refuses
 * ATTACH and dot-commands but lets a dump read any file of the user's through `fsdir()`.)
 */
export async function load(request: LoadRequest, say: (message: unknown) => void): Promise<null> {
  const database = new DatabaseSync(request.to, {
    enableDoubleQuotedStringLiterals: true,
    allowExtension: false,
    defensive: false,
  });
  try {
    confine(database, request.mostBytes);
    await run(database, request.from, (fraction) => say({ progress: fraction }));
  } finally {
    database.close();
  }
  return null;
}

function confine(database: DatabaseSync, mostBytes: number): void {
  const pages = Math.max(1, Math.floor(mostBytes / Number(pragma(database, 'page_size'))));
  // The file is worthless until it is complete: nothing of it need survive a crash.
  database.exec(`PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;
    PRAGMA trusted_schema = OFF; PRAGMA mmap_size = 0; PRAGMA max_page_count = ${pages}`);
  database.setAuthorizer(authorize);
}

const HARMLESS_PRAGMAS = new Set([
  'application_id',
  'encoding',
  'foreign_keys',
  'user_version',
  'writable_schema',
]);

function authorize(action: number, first: string | null, second: string | null): number {
  switch (action) {
    case constants.SQLITE_ATTACH:
    case constants.SQLITE_DETACH:
      return constants.SQLITE_DENY;
    case constants.SQLITE_PRAGMA:
      return HARMLESS_PRAGMAS.has((first ?? '').toLowerCase())
        ? constants.SQLITE_OK
        : constants.SQLITE_IGNORE;
    case constants.SQLITE_FUNCTION:
      return second?.toLowerCase() === 'load_extension'
        ? constants.SQLITE_DENY
        : constants.SQLITE_OK;
    default:
      return constants.SQLITE_OK;
  }
}

async function run(
  database: DatabaseSync,
  path: string,
  progress: (fraction: number) => void,
): Promise<void> {
  const { size } = statSync(path);
  const splitter = new StatementSplitter();
  const dump = new DumpShape();
  let batch = '';
  let seen = 0;
  const flush = () => {
    execute(database, batch);
    batch = '';
    progress(size === 0 ? 1 : seen / size);
  };
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
    seen += (chunk as Buffer).length;
    for (const statement of cut(() => splitter.push(chunk as Buffer))) {
      dump.see(statement);
      batch += statement;
      if (batch.length > BATCH_CHARACTERS) flush();
    }
  }
  // What was complete runs first: a statement that fails says more than the missing end after it.
  flush();
  dump.end(cut(() => [splitter.end()])[0] ?? '');
  if (database.isTransaction) throw truncated('its transaction is never committed');
}

/** What `sqlite3 .dump` always begins and ends with: the only signs that a dump is whole. */
class DumpShape {
  #count = 0;
  #last = '';

  see(statement: string): void {
    this.#count++;
    // Only short statements matter here; the last one is remembered.
    this.#last = statement.length < 4096 ? bare(statement).toUpperCase() : '';
    const expected = [/^PRAGMA FOREIGN_KEYS ?= ?OFF$/, /^BEGIN( TRANSACTION)?$/][this.#count - 1];
    if (expected && !expected.test(this.#last)) throw notADump();
    if (this.#last === 'ROLLBACK') throw rolledBack();
  }

  end(rest: string): void {
    if (this.#count < 2) throw this.#count === 0 ? notADump() : truncated('it ends too early');
    if (bare(rest) !== '') throw truncated('its last statement has no end');
    if (this.#last !== 'COMMIT') throw truncated('the COMMIT at its end is missing');
  }
}

function cut(work: () => string[]): string[] {
  try {
    return work();
  } catch (cause) {
    throw new DropbackError('drop/unsupported-encoding', 'the dump holds text that is not UTF-8', {
      hint: 'drop the database file itself instead (`sqlite3 FILE ".backup out.db"`).',
      cause,
    });
  }
}

function execute(database: DatabaseSync, sql: string): void {
  try {
    database.exec(sql);
  } catch (cause) {
    // The limit of pages, or that of the process on the size of a file.
    if (['SQLITE_FULL', 'SQLITE_IOERR'].includes(sqliteCode(cause) ?? '')) throw overBudget(cause);
    throw new DropbackError('drop/does-not-load', `a statement fails: ${messageOf(cause)}`, {
      hint: 'only what `sqlite3 FILE .dump` writes can be loaded; make the dump again, or drop the database file itself.',
      cause,
    });
  }
}

function overBudget(cause: unknown): DropbackError {
  return new DropbackError('drop/over-budget', 'the dump grows beyond the disk budget', {
    hint: 'raise RESTORE_MAX_STAGING_BYTES if the database has really grown that much.',
    cause,
  });
}

function notADump(): DropbackError {
  return new DropbackError('drop/unknown-content', 'the text is not a dump made by sqlite3', {
    hint: 'a dump from `sqlite3 FILE .dump` begins with PRAGMA foreign_keys=OFF; BEGIN TRANSACTION;',
  });
}

function rolledBack(): DropbackError {
  return new DropbackError(
    'drop/incomplete',
    'the dump rolls itself back: it was made with errors',
    {
      hint: 'sqlite3 could not read the database whole when the dump was made; use an earlier backup.',
    },
  );
}

function truncated(what: string): DropbackError {
  return new DropbackError('drop/truncated', `the dump is truncated: ${what}`, {
    hint: 'copy the file again; if it is whole at its source, the transfer lost a part.',
  });
}
