import { closeSync, openSync, readSync } from 'node:fs';
import Database from 'better-sqlite3';
import { DropbackError } from '../../../runtime/errors.ts';
import type { LockFileRequest } from '../protocol.ts';
import type { Conversation } from './handlers.ts';
import { isBusy } from './sqlite-errors.ts';

/** As a shell tells of SIGTERM. */
const TERMINATED = 128 + 15;

const HOLDERS = ['unknown', 'backup', 'restore', 'rehearsal'] as const;

/** Holds an exclusive transaction on the lock file until standard input ends. */
export async function lock(request: LockFileRequest, { say, asked }: Conversation): Promise<null> {
  // Not in the middle of a write: its journal would stay until the lock is taken again.
  process.once('SIGTERM', () => process.exit(TERMINATED));
  createForAll(request.path);
  let database = acquire(request, 0);
  if (!database && request.waitMs > 0) {
    say({ event: 'waiting', holder: holderOf(request.path) });
    database = await acquireLater(request, asked);
  }
  if (!database) throw busy(request);
  say({ event: 'held' });
  await asked;
  database.exec('ROLLBACK');
  database.close();
  return null;
}

/**
 * It holds no data, and whoever may write to the folder may take the lock: the owner of a file that
 * was created after the lock was first taken is not always the owner of its folder.
 */
function createForAll(path: string): void {
  const umask = process.umask(0);
  closeSync(openSync(path, 'a', 0o666));
  process.umask(umask);
}

/** In steps, so that a daemon that gave up waiting isn't outlived by its tool for long. */
async function acquireLater(request: LockFileRequest, asked: Promise<void>) {
  const deadline = performance.now() + request.waitMs;
  let givenUp = false;
  void asked.then(() => {
    givenUp = true;
  });
  while (!givenUp) {
    const left = deadline - performance.now();
    if (left <= 0) return undefined;
    const database = acquire(request, Math.ceil(Math.min(left, 250)));
    if (database) return database;
    await new Promise((resolve) => setImmediate(resolve));
  }
  return undefined;
}

function acquire(request: LockFileRequest, busyMs: number): Database.Database | undefined {
  const database = new Database(request.path, { timeout: busyMs });
  try {
    database.exec('BEGIN EXCLUSIVE');
    // Who holds it is told to others by a committed header field, readable in spite of the lock.
    database.exec(`PRAGMA user_version = ${HOLDERS.indexOf(request.purpose)}`);
    database.exec('COMMIT; BEGIN EXCLUSIVE');
    return database;
  } catch (error) {
    database.close();
    if (isBusy(error)) return undefined;
    throw error;
  }
}

function holderOf(path: string): string {
  const descriptor = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(64);
    readSync(descriptor, bytes, 0, 64, 0);
    return HOLDERS[bytes.readUInt32BE(60)] ?? 'unknown';
  } finally {
    closeSync(descriptor);
  }
}

function busy(request: LockFileRequest): DropbackError {
  const holder = holderOf(request.path);
  const what = holder === 'unknown' ? 'another run' : `a ${holder}`;
  return new DropbackError('lock/busy', `${what} is working on this database`, {
    hint: 'it is tried again later; only one backup or restore of a database runs at a time.',
    retryable: true,
    facts: { holder },
  });
}
