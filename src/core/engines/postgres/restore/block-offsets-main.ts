/**
 * A process of its own, because it looks at the head of every row: `node block-offsets-main.ts FILE`.
 * Exits with 0 also where the archive isn't understood, which is then left as it is.
 */
import { closeSync, openSync } from 'node:fs';
import { NotUnderstood } from '../../../archive/archive-cursor.ts';
import { setBlockOffsets } from './block-offsets.ts';

const descriptor = openSync(process.argv[2] ?? '', 'r+');
try {
  process.stdout.write(`${setBlockOffsets(descriptor)}\n`);
} catch (error) {
  if (!(error instanceof NotUnderstood)) throw error;
  process.stdout.write('0\n');
} finally {
  closeSync(descriptor);
}
