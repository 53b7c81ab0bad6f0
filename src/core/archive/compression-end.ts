import type { FileHandle } from 'node:fs/promises';
import { readAt } from './detect.ts';

/** Compressors make blocks of some KB; of a file with countless empty ones zstd itself may judge. */
const BYTES_PER_HEADER = 1024;
const ALWAYS_READ_HEADERS = 10_000;

/**
 * Whether a zstd file ends in the middle of a frame, from the block headers alone: a few bytes are
 * read for each block of 128 KiB. Damage of another kind is not looked for (RFC 8878, section 3).
 */
export async function zstdEndsEarly(file: FileHandle, signal: AbortSignal): Promise<boolean> {
  const { size } = await file.stat();
  const budget = { headers: ALWAYS_READ_HEADERS + size / BYTES_PER_HEADER };
  let position = 0;
  while (position < size) {
    signal.throwIfAborted();
    if (--budget.headers < 0) return false;
    const head = await readAt(file, position, 18);
    if (head.length < 5) return true;
    const magic = head.readUInt32LE(0);
    if ((magic & 0xfffffff0) >>> 0 === 0x184d2a50) {
      if (head.length < 8) return true;
      position += 8 + head.readUInt32LE(4);
    } else if (magic === 0xfd2fb528) {
      const end = await frameEnd(file, position, head[4] ?? 0, { size, budget }, signal);
      if (end === undefined) return true;
      position = end;
    } else {
      return false;
    }
  }
  return position > size;
}

/** Position after the frame, or undefined where the file ends first. */
async function frameEnd(
  file: FileHandle,
  start: number,
  descriptor: number,
  { size, budget }: { readonly size: number; readonly budget: { headers: number } },
  signal: AbortSignal,
): Promise<number | undefined> {
  let position = start + 5 + headerFields(descriptor);
  for (;;) {
    signal.throwIfAborted();
    if (--budget.headers < 0) return size;
    if (position + 3 > size) return undefined;
    const header = (await readAt(file, position, 3)).readUIntLE(0, 3);
    const isRunLength = ((header >> 1) & 3) === 1;
    position += 3 + (isRunLength ? 1 : header >> 3);
    if ((header & 1) === 1) break;
  }
  const hasChecksum = (descriptor & 4) !== 0;
  if (hasChecksum) position += 4;
  return position > size ? undefined : position;
}

function headerFields(descriptor: number): number {
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const dictionary = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const contentSize = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  return (isSingleSegment ? 0 : 1) + dictionary + contentSize;
}
