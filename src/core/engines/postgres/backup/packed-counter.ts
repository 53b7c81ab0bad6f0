/**
 * The process that reads a packed dump back: `node packed-counter.ts TAR` prints one line of JSON, a
 * `PackedCount`. A process of its own, as `read-back-counter.ts` is.
 */
import { writeSync } from 'node:fs';
import { countPacked } from './packed-count.ts';

try {
  const counted = await countPacked(process.argv[2] ?? '', new AbortController().signal);
  const line = Buffer.from(`${JSON.stringify(counted)}\n`);
  for (let offset = 0; offset < line.length; ) offset += writeSync(1, line, offset);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
