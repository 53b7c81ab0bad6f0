import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { DropbackError } from '../../../runtime/errors.ts';
import type { CompareRequest } from '../protocol.ts';
import { open, untilFree } from './connection.ts';

const BLOCK = 4096;
const BLOCKS_AT_ONCE = 256;

/**
 * Fields of the first page that a write of the same content changes: format versions (journal mode),
 * change counter, schema cookie, version-valid-for and library version.
 */
const VOLATILE: readonly (readonly [number, number])[] = [
  [18, 20],
  [24, 28],
  [40, 44],
  [92, 100],
];

/**
 * Whether the live file was written over before a crash. Opening it ends the question for SQLite (a
 * hot journal is rolled back, a running writer waited for); then its pages are compared with those
 * of the staged and of the kept file. Blocks in which those two differ decide: also when an
 * application has begun to write again, since what it writes equals neither.
 */
export async function compare(request: CompareRequest): Promise<{ matches: 'new' | 'old' }> {
  await recover(request);
  if (request.oldFile === null) {
    return { matches: sameBlocks(request.path, request.newFile) ? 'new' : 'old' };
  }
  let likeNew = 0;
  let likeOld = 0;
  for (const [live, fresh, old] of blocks([request.path, request.newFile, request.oldFile])) {
    if (fresh.equals(old)) continue;
    if (live.equals(fresh)) likeNew++;
    else if (live.equals(old)) likeOld++;
  }
  if (likeNew === 0 && likeOld === 0 && !sameBlocks(request.newFile, request.oldFile)) {
    throw unknown(request.path);
  }
  return { matches: likeNew >= likeOld ? 'new' : 'old' };
}

async function recover({ path, waitMs }: CompareRequest): Promise<void> {
  const database = open(path, 0);
  try {
    const isFree = await untilFree(waitMs, () => {
      database.exec('BEGIN IMMEDIATE; ROLLBACK');
      return true;
    });
    if (!isFree) throw Object.assign(new Error('database is locked'), { code: 'SQLITE_BUSY' });
  } finally {
    database.close();
  }
}

export function sameBlocks(one: string, other: string): boolean {
  if (statSync(one).size !== statSync(other).size) return false;
  for (const [a, b] of blocks([one, other])) if (!a.equals(b)) return false;
  return true;
}

/** The files side by side, block by block to the end of the longest. */
function* blocks<const T extends readonly string[]>(
  paths: T,
): Generator<{ [K in keyof T]: Buffer }> {
  const files = paths.map((path) => openSync(path, 'r'));
  const buffers = files.map(() => Buffer.alloc(BLOCK * BLOCKS_AT_ONCE));
  try {
    for (let offset = 0; ; offset += BLOCK * BLOCKS_AT_ONCE) {
      const parts = files.map((file, index) => fill(file, buffers[index] as Buffer, offset));
      const longest = Math.max(...parts.map((part) => part.length));
      if (longest === 0) return;
      for (let start = 0; start < longest; start += BLOCK) {
        yield parts.map((part) => part.subarray(start, start + BLOCK)) as never;
      }
    }
  } finally {
    for (const file of files) closeSync(file);
  }
}

function fill(file: number, buffer: Buffer, offset: number): Buffer {
  let length = 0;
  while (length < buffer.length) {
    const read = readSync(file, buffer, length, buffer.length - length, offset + length);
    if (read === 0) break;
    length += read;
  }
  if (offset === 0) for (const [from, to] of VOLATILE) buffer.fill(0, from, Math.min(to, length));
  return buffer.subarray(0, length);
}

function unknown(path: string): DropbackError {
  return new DropbackError(
    'restore/outcome-unknown',
    `${path} is neither the old nor the new one`,
    {
      hint: 'the application has rewritten the whole file since; look at it, then keep it or restore the kept file beside it by hand.',
      facts: { path },
    },
  );
}
