/**
 * The process that counts what an archive holds: `pg_restore -a -f - | node read-back-counter.ts`
 * prints one line of JSON, an `ArchiveCount`. A process of its own, so that neither the bytes nor
 * the work of looking at them pass through the daemon, whose memory and health stay what they are.
 */
import { readSync, writeSync } from 'node:fs';
import { type ArchiveCount, ArchiveScanner } from './read-back-scanner.ts';

/** One buffer for all of it: memory is the same for every size of archive. */
const BUFFER_BYTES = 256 * 1024;

function count(descriptor: number): ArchiveCount {
  const scanner = new ArchiveScanner();
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  for (;;) {
    const bytes = readSync(descriptor, buffer);
    if (bytes === 0) break;
    scanner.push(buffer.subarray(0, bytes));
  }
  if (!scanner.isComplete) throw new SyntaxError('the text of the archive ends too early');
  return { tables: scanner.tables(), largeObjects: scanner.largeObjects };
}

function main(): number {
  try {
    const line = Buffer.from(`${JSON.stringify(count(0))}\n`);
    for (let offset = 0; offset < line.length; ) offset += writeSync(1, line, offset);
    return 0;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}

process.exitCode = main();
