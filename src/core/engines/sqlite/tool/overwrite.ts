import { closeSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import type Database from 'better-sqlite3';
import { DropbackError } from '../../../runtime/errors.ts';
import type { OverwriteAnswer, OverwriteRequest } from '../protocol.ts';
import { sameBlocks } from './compare.ts';
import { open } from './connection.ts';
import { inUse } from './exclusive.ts';
import { syncFolder } from './files.ts';
import { changeCounterOf } from './keep.ts';

const ALL_PAGES = 0x7fffffff;

/**
 * Writes the staged pages over the live file through the backup API: one transaction, atomic through
 * the rollback journal. `done: false` where the live file was changed after it was kept.
 */
export async function overwrite(request: OverwriteRequest): Promise<OverwriteAnswer> {
  const source = open(request.staging, 0, true);
  // Kept open to the end: closing it would drop the locks that SQLite holds on the same file.
  const raw = openSync(request.path, 'r');
  let verdict: 'written' | 'busy' | 'changed';
  try {
    verdict = await untilWritten(source, raw, request);
  } finally {
    source.close();
    closeSync(raw);
  }
  if (verdict === 'changed') return { done: false };
  if (verdict === 'busy') throw inUse(request.path);
  syncFolder(dirname(request.path));
  if (!sameBlocks(request.path, request.staging)) throw notWritten(request.path);
  return { done: true };
}

async function untilWritten(source: Database.Database, raw: number, request: OverwriteRequest) {
  const deadline = performance.now() + request.waitMs;
  for (;;) {
    const verdict = await write(source, raw, request);
    if (verdict !== 'busy' || performance.now() >= deadline) return verdict;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

class Changed extends Error {}

async function write(source: Database.Database, raw: number, request: OverwriteRequest) {
  const expected = request.changeCounter;
  try {
    const { totalPages } = await source.backup(request.path, {
      // Called once, when the live file is locked for us alone and nothing is written yet.
      progress: () => {
        if (expected !== null && changeCounterOf(raw) !== expected) throw new Changed();
        return ALL_PAGES;
      },
    });
    return totalPages > 0 ? 'written' : 'busy';
  } catch (error) {
    if (error instanceof Changed) return 'changed';
    throw error;
  }
}

function notWritten(path: string): DropbackError {
  return new DropbackError('restore/not-written', `${path} does not hold what was written to it`, {
    hint: 'another program wrote at the same time, or the disk fails; what is live now is looked at next.',
    facts: { path },
  });
}
