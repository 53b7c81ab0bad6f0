import { closeSync, openSync, readSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { KeepAnswer, KeepRequest } from '../protocol.ts';
import { open, untilFree } from './connection.ts';
import { copyPages } from './copy.ts';
import { inUse, openAlone } from './exclusive.ts';
import { identityOf, requireSpace, syncFile, syncFolder } from './files.ts';
import { parseHeader } from './header.ts';

/** Before the live file is written over: a whole, durable copy of it, to be kept as the previous. */
export async function keep(request: KeepRequest): Promise<KeepAnswer> {
  const { path, previous } = request;
  rmSync(previous, { force: true });
  // Kept open to the end: closing it would drop the locks that SQLite holds on the same file.
  const raw = openSync(path, 'r');
  try {
    const changeCounter = await copyAlone(request, raw);
    makeSelfContained(previous);
    const stats = statSync(previous);
    return { identity: identityOf(stats), bytes: stats.size, changeCounter };
  } finally {
    closeSync(raw);
  }
}

async function copyAlone({ path, previous, waitMs }: KeepRequest, raw: number): Promise<number> {
  const database = await openAlone(path, waitMs);
  try {
    const isFree = await untilFree(waitMs, () => {
      // Proves that nobody is in the middle of a transaction; a reader at rest isn't seen.
      database.exec('BEGIN EXCLUSIVE; ROLLBACK; BEGIN');
      database.prepare('SELECT count(*) FROM sqlite_schema').get();
      return true;
    });
    if (!isFree) throw inUse(path);
    requireSpace(dirname(path), statSync(path).size);
    const changeCounter = changeCounterOf(raw);
    await copyPages(database, previous);
    return changeCounter;
  } finally {
    database.close();
  }
}

export function changeCounterOf(raw: number): number {
  const header = Buffer.alloc(100);
  readSync(raw, header, 0, 100, 0);
  return parseHeader(header).changeCounter;
}

function makeSelfContained(path: string): void {
  const copy = open(path, 0);
  try {
    copy.exec('PRAGMA journal_mode = DELETE');
  } finally {
    copy.close();
  }
  syncFile(path);
  syncFolder(dirname(path));
}
