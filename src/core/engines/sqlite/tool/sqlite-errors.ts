import { DropbackError, messageOf } from '../../../runtime/errors.ts';

/** Result codes, as better-sqlite3 names them and as node:sqlite numbers them. */
const NUMBERED: Readonly<Record<number, string>> = {
  5: 'SQLITE_BUSY',
  6: 'SQLITE_LOCKED',
  7: 'SQLITE_NOMEM',
  8: 'SQLITE_READONLY',
  10: 'SQLITE_IOERR',
  11: 'SQLITE_CORRUPT',
  13: 'SQLITE_FULL',
  14: 'SQLITE_CANTOPEN',
  23: 'SQLITE_AUTH',
  26: 'SQLITE_NOTADB',
};

/** The primary SQLite result code of what either library throws, or undefined. */
export function sqliteCode(error: unknown): string | undefined {
  const { code, errcode } = (error ?? {}) as { code?: unknown; errcode?: unknown };
  if (typeof errcode === 'number') return NUMBERED[errcode & 0xff] ?? 'SQLITE_ERROR';
  if (typeof code !== 'string' || !code.startsWith('SQLITE_')) return undefined;
  return code.split('_').slice(0, 2).join('_');
}

export function isBusy(error: unknown): boolean {
  return ['SQLITE_BUSY', 'SQLITE_LOCKED'].includes(sqliteCode(error) ?? '');
}

/** Of the machine that a file is read on, not of what is in it. */
const MACHINES = new Set([
  'SQLITE_BUSY',
  'SQLITE_LOCKED',
  'SQLITE_NOMEM',
  'SQLITE_IOERR',
  'SQLITE_FULL',
  'SQLITE_CANTOPEN',
]);

export function isMachinesFault(error: unknown): boolean {
  return MACHINES.has(sqliteCode(error) ?? '');
}

/** True where the schema uses functions, collations or modules that only the application has. */
export function needsApplication(error: unknown): boolean {
  return /no such (collation sequence|function|module)|unknown function|unknown tokenizer/i.test(
    messageOf(error),
  );
}

/** SQLite's errors in our words; others pass. */
export function translate(error: unknown): unknown {
  if (error instanceof DropbackError) return error;
  const said = messageOf(error);
  switch (sqliteCode(error)) {
    case undefined:
      return error;
    case 'SQLITE_BUSY':
    case 'SQLITE_LOCKED':
      return new DropbackError('database/busy', `the database stayed locked: ${said}`, {
        hint: 'another program holds a lock for a long time; try again when it has finished.',
        retryable: true,
        cause: error,
      });
    case 'SQLITE_NOTADB':
      return notSqlite(error);
    case 'SQLITE_CORRUPT':
      return new DropbackError('database/corrupt', `the database is damaged: ${said}`, {
        hint: 'restore an earlier backup, or try `sqlite3 FILE .recover`.',
        cause: error,
      });
    case 'SQLITE_READONLY':
    case 'SQLITE_CANTOPEN':
      return new DropbackError('database/not-writable', `the file can't be opened: ${said}`, {
        hint: 'mount its folder read-write (SQLite keeps -wal, -shm and -journal files there) and run the daemon with rights to act as the owner of the file.',
        cause: error,
      });
    case 'SQLITE_IOERR':
      // In WAL mode SQLite says this, too, where a full volume has no room for -wal and -shm.
      return new DropbackError('disk/failing', `the file can't be read or written: ${said}`, {
        hint: "see whether its volume is full (df), then look at the kernel's log (dmesg).",
        cause: error,
      });
    case 'SQLITE_NOMEM':
      return new DropbackError('tool/out-of-memory', `SQLite has no memory left: ${said}`, {
        hint: 'give the container more memory; then try again.',
        retryable: true,
        cause: error,
      });
    case 'SQLITE_FULL':
      return new DropbackError('disk/full', `no space left: ${said}`, {
        hint: 'free space on that volume, or make it larger; then try again.',
        cause: error,
      });
    default:
      return new DropbackError('database/failed', `SQLite: ${said}`, {
        hint: 'the log has the details; check the file with `sqlite3 FILE "PRAGMA integrity_check"`.',
        cause: error,
      });
  }
}

export function notSqlite(cause?: unknown): DropbackError {
  return new DropbackError('database/not-sqlite', 'the file is not a SQLite database', {
    hint: 'check the path; an encrypted database (SQLCipher) is not supported.',
    cause,
  });
}
