import { messageOf } from '../../../runtime/errors.ts';
import { type Connection, quoted } from './connection.ts';
import { isMachinesFault, needsApplication, sqliteCode } from './sqlite-errors.ts';
import { tableNames } from './tables.ts';

export interface Integrity {
  /** The file is damaged. */
  readonly damage: string[];
  /** Values that the schema would not accept today. */
  readonly oddities: string[];
  /** Tables that only the application can check. */
  readonly notChecked: string[];
}

/**
 * integrity_check also reports rows that break NOT NULL, a strict type or (on a writable connection
 * only: SQLite drops CHECK constraints from read-only ones) CHECK: such rows come
 * from the application (a constraint added later), are faithfully copied, and no reason to be left
 * without a backup.
 */
const ABOUT_VALUES =
  /^(NULL value in|CHECK constraint failed in|(TEXT|NUMERIC|INT|INTEGER|REAL|BLOB|non-\w+) value in)/;

const MOST_MESSAGES = 100;
const NOTHING: Integrity = { damage: [], oddities: [], notChecked: [] };

export function checkIntegrity(connection: Connection): Integrity {
  try {
    return sorted(run(connection, `PRAGMA integrity_check(${MOST_MESSAGES})`));
  } catch (error) {
    if (isDamage(error)) return { ...NOTHING, damage: [messageOf(error)] };
    if (!needsApplication(error)) throw error;
    return checkTableByTable(connection);
  }
}

/** Where a table needs the application's own functions or collations, all others are checked. */
function checkTableByTable(connection: Connection): Integrity {
  const result: Integrity = { damage: [], oddities: [], notChecked: [] };
  for (const name of tableNames(connection)) {
    try {
      const found = sorted(run(connection, `PRAGMA integrity_check(${quoted(name)})`));
      result.damage.push(...found.damage);
      result.oddities.push(...found.oddities);
    } catch (error) {
      if (isDamage(error)) result.damage.push(`${name}: ${messageOf(error)}`);
      else if (needsApplication(error)) {
        result.notChecked.push(`table ${name} could not be checked: ${messageOf(error)}`);
      } else throw error;
    }
  }
  return result;
}

function run(connection: Connection, sql: string): string[] {
  const rows = connection.prepare(sql).all() as Record<string, unknown>[];
  const lines = rows.map((row) => String(Object.values(row)[0])).filter((line) => line !== 'ok');
  for (const line of lines) requireRead(line);
  return lines;
}

/** A page that could not be read is told among the damage, with SQLite's own code. */
function requireRead(line: string): void {
  const code = /error code=(\d+)/.exec(line)?.[1];
  if (code === undefined) return;
  const error = Object.assign(new Error(line), { errcode: Number(code) });
  if (isMachinesFault(error)) throw error;
}

function sorted(messages: string[]): Integrity {
  return {
    damage: messages.filter((message) => !ABOUT_VALUES.test(message)),
    oddities: messages.filter((message) => ABOUT_VALUES.test(message)),
    notChecked: [],
  };
}

function isDamage(error: unknown): boolean {
  return ['SQLITE_CORRUPT', 'SQLITE_NOTADB'].includes(sqliteCode(error) ?? '');
}
