/**
 * The process that reads a stream back: `zstd -d | node stream-counter.ts PG_RESTORE` prints one line of
 * JSON, a `StreamCount`. pg_restore is shown the table of contents, the one part that the rest can't
 * be read without. A process of its own, as `read-back-counter.ts` is.
 */
import { spawnSync } from 'node:child_process';
import { readSync, writeSync } from 'node:fs';
import type { ArchiveCount } from './read-back-scanner.ts';
import { StreamCounter } from './stream-count.ts';

export type StreamCount = ArchiveCount & {
  /** After decompression. */
  readonly contentBytes: number;
};

/** One buffer for all of it: memory is the same for every size of archive. */
const BUFFER_BYTES = 256 * 1024;

function count(descriptor: number, pgRestore: string): StreamCount {
  const counter = new StreamCounter((head) => requireReadable(head, pgRestore));
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  for (;;) {
    const bytes = readSync(descriptor, buffer);
    if (bytes === 0) break;
    counter.push(buffer.subarray(0, bytes));
  }
  return { ...counter.end(), contentBytes: counter.contentBytes };
}

function requireReadable(head: Buffer, pgRestore: string): void {
  const { status, stderr, error } = spawnSync(pgRestore, ['--list', '--file=/dev/null'], {
    input: head,
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  if (error) throw error;
  if (status !== 0) throw new SyntaxError(`pg_restore: ${stderr.toString().slice(0, 1000)}`);
}

try {
  const line = Buffer.from(`${JSON.stringify(count(0, process.argv[2] ?? ''))}\n`);
  for (let offset = 0; offset < line.length; ) offset += writeSync(1, line, offset);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
