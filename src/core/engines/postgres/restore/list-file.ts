import { writeFile } from 'node:fs/promises';
import { type Toc, type TocFilter, tocLines } from '../script/toc.ts';

const BATCH_LINES = 1000;

/** A file for `pg_restore --use-list`. */
export async function writeList(file: string, toc: Toc, filter: TocFilter): Promise<void> {
  await writeFile(file, batches(tocLines(toc, filter)), { mode: 0o600 });
}

function* batches(lines: Iterable<string>): Generator<string> {
  let batch: string[] = [];
  for (const line of lines) {
    batch.push(line);
    if (batch.length < BATCH_LINES) continue;
    yield batch.join('');
    batch = [];
  }
  yield batch.join('');
}
