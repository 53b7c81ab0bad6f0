import type { FileHandle } from 'node:fs/promises';
import { testCompressed } from '../../core/archive/compression.ts';
import { zstdEndsEarly } from '../../core/archive/compression-end.ts';
import { HEAD_BYTES, type Recognition, readAt, recognise } from '../../core/archive/detect.ts';
import { ageEndsEarly } from '../../core/encryption/age-end.ts';
import type { AgeIdentity } from '../../core/encryption/identity.ts';
import type { Clock } from '../../core/runtime/clock.ts';
import { abortedError, DropbackError } from '../../core/runtime/errors.ts';
import { withDeadline } from '../deadline.ts';
import { customArchiveEndsEarly } from './custom-archive-end.ts';
import { openDrop } from './open-drop.ts';
import type { Sighting } from './scan.ts';
import type { ScriptLooks } from './script-looks.ts';

/** Trailers are near the end: pg_dump 18 writes `\unrestrict` and a key after its own. */
const TAIL_BYTES = 16 * 1024;

/** As many zeros at the end of a compressed file or a custom archive are a hole. */
const ZEROS_BYTES = 4096;
/** tar fills its last record, of 10 KiB usually, with zeros. */
const TAR_PADDING_BYTES = 64 * 1024;

export interface LookMeans {
  /** RESTORE_AGE_IDENTITY. */
  readonly identity?: AgeIdentity | undefined;
  /** Keeps what is seen of a script on the way to its end. */
  readonly scripts?: ScriptLooks | undefined;
}

/**
 * Why a file still looks as if it were being written, or undefined. Looks at its ends (for gzip and
 * age, which have no other way, at all of it) and writes nothing. Damage of other kinds is no reason to
 * wait: the inspection after the claim refuses it.
 */
export async function looksTruncated(
  sighting: Sighting,
  signal: AbortSignal,
  means: LookMeans = {},
): Promise<string | undefined> {
  if (sighting.bytes === 0) return 'it is empty';
  try {
    await using file = await openDrop(sighting.path, sighting.signature);
    return await judge(file, sighting.bytes, means, signal);
  } catch (error) {
    if (signal.aborted) throw abortedError(signal);
    const truncated = error instanceof DropbackError && error.code === 'drop/truncated';
    return truncated ? error.message : undefined;
  }
}

/** What a look may take, and what each megabyte gets on top: gzip shrinks a dump tenfold or so. */
const LOOK_MS = 60_000;
const LOOK_MS_PER_MEGABYTE = 1000;

/**
 * The same within limits: a bomb of a few megabytes would take hours to read to its end, with all
 * others waiting behind it. What takes so long counts as whole; unpacking has limits of its own.
 */
export async function looksTruncatedSoon(
  sighting: Sighting,
  clock: Clock,
  signal: AbortSignal,
  means: LookMeans = {},
): Promise<string | undefined> {
  const mostMs = LOOK_MS + Math.ceil(sighting.bytes / 1_000_000) * LOOK_MS_PER_MEGABYTE;
  try {
    return await withDeadline({ mostMs, clock }, signal, (bounded) =>
      looksTruncated(sighting, bounded, means),
    );
  } catch (error) {
    if (error instanceof DropbackError && error.code === 'drop/takes-too-long') return undefined;
    throw error;
  }
}

async function judge(
  file: FileHandle,
  bytes: number,
  { identity, scripts }: LookMeans,
  signal: AbortSignal,
): Promise<string | undefined> {
  const head = await readAt(file, 0, HEAD_BYTES);
  // Some programs give a file its final size before they write into it.
  if (head.every((byte) => byte === 0)) return 'it begins with nothing but zeros';
  const written = withoutZeros(head);
  if (isBegunOnly(written)) return 'it has only just begun';
  const found = recognise(written);
  // Others reserve the space for what is still to come.
  if (await endsInZeros(file, found, head, bytes)) return 'it ends with nothing but zeros';
  if (found.kind === 'compressed') {
    if (found.compression === 'gzip') {
      if (!(await scripts?.findsWhole(file, signal))) await testCompressed(file, 'gzip', signal);
    } else if (await zstdEndsEarly(file, signal)) return 'its last zstd frame is not complete';
    return undefined;
  }
  if (found.kind === 'encrypted') {
    const early = await ageEndsEarly(file, identity, signal);
    return early ? 'its last encrypted chunk is not complete' : undefined;
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

/** Of a script whose space was reserved the rest of the head is zeros. */
function withoutZeros(head: Buffer): Buffer {
  return head.subarray(0, head.findLastIndex((byte) => byte !== 0) + 1);
}

/** How the accepted files begin, for those of which not even that is there yet. */
const BEGINNINGS = [
  'PGDMP\u0001',
  'SQLite format 3\0',
  '\u001f\u008b\b',
  '\u0028\u00b5\u002f\u00fd',
  '--\n-- PostgreSQL database dump\n',
  'PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;',
  'age-encryption.org/v1\n',
  '-----BEGIN AGE ENCRYPTED FILE-----\n',
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
  const pageSize = pageSizeOf(head);
  const pages = head.readUInt32BE(28);
  const countIsValid = head.readUInt32BE(24) === head.readUInt32BE(92);
  const isShort = countIsValid ? bytes < pages * pageSize : bytes % Math.max(1, pageSize) !== 0;
  return isShort ? 'it has fewer pages than its header says' : undefined;
}

const pageSizeOf = (head: Buffer) => (head.readUInt16BE(16) === 1 ? 65536 : head.readUInt16BE(16));

async function scriptEnd(
  file: FileHandle,
  bytes: number,
  trailer: RegExp,
): Promise<string | undefined> {
  const tail = await readAt(file, Math.max(0, bytes - TAIL_BYTES), TAIL_BYTES);
  return trailer.test(tail.toString('latin1')) ? undefined : 'its last line is missing';
}

/** More zeros than the format has at its end. Scripts have a last line instead. */
async function endsInZeros(
  file: FileHandle,
  found: Recognition,
  head: Buffer,
  bytes: number,
): Promise<boolean> {
  if (found.kind === 'tar') return zerosAt(file, bytes - TAR_PADDING_BYTES, TAR_PADDING_BYTES);
  if (found.kind === 'encrypted') return zerosAt(file, bytes - ZEROS_BYTES, ZEROS_BYTES);
  if (found.kind === 'compressed') return zerosAt(file, bytes - ZEROS_BYTES, ZEROS_BYTES);
  if (found.kind !== 'archive') return false;
  if (found.format === 'postgres-custom') return zerosAt(file, bytes - ZEROS_BYTES, ZEROS_BYTES);
  if (found.format !== 'sqlite-file' || head.length < 100) return false;
  // Pages on the free list may be zeros: one page more than those has to be.
  const pageSize = pageSizeOf(head);
  const before = bytes - (head.readUInt32BE(36) + 1) * pageSize;
  return (
    (await zerosAt(file, bytes - pageSize, pageSize)) && (await zerosAt(file, before, pageSize))
  );
}

/** False as well before the file's first byte. */
async function zerosAt(file: FileHandle, position: number, length: number): Promise<boolean> {
  if (position <= 0) return false;
  return (await readAt(file, position, length)).every((byte) => byte === 0);
}

async function tarEnd(file: FileHandle, bytes: number): Promise<string | undefined> {
  const tail = await readAt(file, Math.max(0, bytes - 1024), 1024);
  const ends = tail.length === 1024 && tail.every((byte) => byte === 0);
  return ends ? undefined : 'its end marker is missing';
}
