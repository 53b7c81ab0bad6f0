import type { FileHandle } from 'node:fs/promises';
import { testCompressed } from '../../core/archive/compression.ts';
import { zstdEndsEarly } from '../../core/archive/compression-end.ts';
import { HEAD_BYTES, readAt, recognise } from '../../core/archive/detect.ts';
import { abortedError, DropbackError } from '../../core/runtime/errors.ts';
import { customArchiveEndsEarly } from './custom-archive-end.ts';
import { openDrop } from './open-drop.ts';
import type { Sighting } from './scan.ts';

/** Trailers are near the end: pg_dump 18 writes `\unrestrict` and a key after its own. */
const TAIL_BYTES = 16 * 1024;

/**
 * Why a file still looks as if it were being written, or undefined. Looks at its ends (for gzip,
 * which has no other way, at all of it) and writes nothing. Damage of other kinds is no reason to
 * wait: the inspection after the claim refuses it.
 */
export async function looksTruncated(
  sighting: Sighting,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (sighting.bytes === 0) return 'it is empty';
  try {
    await using file = await openDrop(sighting.path, sighting.signature);
    return await judge(file, sighting.bytes, signal);
  } catch (error) {
    if (signal.aborted) throw abortedError(signal);
    const truncated = error instanceof DropbackError && error.code === 'drop/truncated';
    return truncated ? error.message : undefined;
  }
}

async function judge(
  file: FileHandle,
  bytes: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  const head = await readAt(file, 0, HEAD_BYTES);
  if (isBegunOnly(head)) return 'it has only just begun';
  // Some programs give a file its final size before they write into it.
  if (head.every((byte) => byte === 0)) return 'it begins with nothing but zeros';
  const found = recognise(head);
  if (found.kind === 'compressed') {
    if (found.compression === 'gzip') await testCompressed(file, 'gzip', signal);
    else if (await zstdEndsEarly(file, signal)) return 'its last zstd frame is not complete';
    return undefined;
  }
  if (found.kind === 'tar') return tarEnd(file, bytes);
  if (found.kind !== 'archive') return undefined;
  switch (found.format) {
    case 'sqlite-file':
      return sqliteEnd(head, bytes);
    case 'postgres-custom': {
      const early = head.length < 32 || (await customArchiveEndsEarly(file, signal));
      return early ? 'its last data block is not complete' : undefined;
    }
    case 'postgres-plain':
      return scriptEnd(file, bytes, /^-- PostgreSQL database dump complete\s*$/m);
    case 'sqlite-plain':
      return scriptEnd(file, bytes, /^(COMMIT|ROLLBACK);/m);
    case 'postgres-directory':
      return undefined;
  }
}

/** How the accepted files begin, for those of which not even that is there yet. */
const BEGINNINGS = [
  'PGDMP\u0001',
  'SQLite format 3\0',
  '\u001f\u008b\b',
  '\u0028\u00b5\u002f\u00fd',
  '--\n-- PostgreSQL database dump\n',
  'PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;',
];

function isBegunOnly(head: Buffer): boolean {
  const text = head.toString('latin1');
  return BEGINNINGS.some(
    (beginning) => beginning.length > text.length && beginning.startsWith(text),
  );
}

/** Page count times page size, as the header says (sqlite.org/fileformat2.html, section 1.3). */
function sqliteEnd(head: Buffer, bytes: number): string | undefined {
  if (head.length < 100) return 'its header is not complete';
  const pageSize = head.readUInt16BE(16) === 1 ? 65536 : head.readUInt16BE(16);
  const pages = head.readUInt32BE(28);
  const countIsValid = head.readUInt32BE(24) === head.readUInt32BE(92);
  const isShort = countIsValid ? bytes < pages * pageSize : bytes % Math.max(1, pageSize) !== 0;
  return isShort ? 'it has fewer pages than its header says' : undefined;
}

async function scriptEnd(
  file: FileHandle,
  bytes: number,
  trailer: RegExp,
): Promise<string | undefined> {
  const tail = await readAt(file, Math.max(0, bytes - TAIL_BYTES), TAIL_BYTES);
  return trailer.test(tail.toString('latin1')) ? undefined : 'its last line is missing';
}

async function tarEnd(file: FileHandle, bytes: number): Promise<string | undefined> {
  const tail = await readAt(file, Math.max(0, bytes - 1024), 1024);
  const ends = tail.length === 1024 && tail.every((byte) => byte === 0);
  return ends ? undefined : 'its end marker is missing';
}
