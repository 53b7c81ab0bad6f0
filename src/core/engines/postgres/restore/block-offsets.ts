import { writeSync } from 'node:fs';
import { NotUnderstood } from '../../../archive/archive-cursor.ts';
import { OFFSET_NOT_SET, OFFSET_SET, visitArchiveSync } from '../../../archive/custom-archive.ts';

const OFFSET_BYTES = 8;

/**
 * Writes into the table of contents of a custom archive where the data of each entry begin, as
 * pg_dump itself does where its output is a file. Through a pipe it can't, and then each worker of
 * pg_restore looks for a table by reading the head of every row before it. Returns how many were
 * set. Everything is read before anything is written; throws NotUnderstood where nothing was.
 * Layout: PostgreSQL's src/bin/pg_dump/pg_backup_archiver.c (WriteOffset).
 */
export function setBlockOffsets(descriptor: number): number {
  const fields = new Map<number, number>();
  const blocks = new Map<number, number>();
  visitArchiveSync(descriptor, {
    header: ({ offsetBytes }) => {
      if (offsetBytes !== OFFSET_BYTES) throw new NotUnderstood();
    },
    entry: ({ dumpId, offsetState, offsetField }) => {
      if (offsetState === OFFSET_NOT_SET) fields.set(dumpId, offsetField);
    },
    block: ({ dumpId, start }) => {
      if (blocks.has(dumpId)) throw new NotUnderstood();
      blocks.set(dumpId, start);
    },
  });
  let set = 0;
  for (const [dumpId, field] of fields) {
    const start = blocks.get(dumpId);
    if (start === undefined) continue;
    const bytes = Buffer.alloc(1 + OFFSET_BYTES);
    bytes[0] = OFFSET_SET;
    bytes.writeBigUInt64LE(BigInt(start), 1);
    if (writeSync(descriptor, bytes, 0, bytes.length, field) !== bytes.length) {
      throw new Error('a short write');
    }
    set++;
  }
  return set;
}
