import { DropbackError } from '../../runtime/errors.ts';

const MIB = 1024 ** 2;
/** S3 takes 10,000 parts; some room is left for archives that outgrow their estimate. */
const MOST_PARTS = 9000;
export const SMALLEST_PART_BYTES = 8 * MIB;
const LARGEST_OBJECT_BYTES = 5 * 1024 ** 4;

/**
 * Bytes of each part but the last, equal as some endpoints demand: the smallest whole number of
 * MiB with which 9,000 parts hold `totalBytes`. Throws `store/too-large` beyond S3's 5 TiB.
 */
export function partBytesFor(totalBytes: number, smallest = SMALLEST_PART_BYTES): number {
  if (totalBytes > LARGEST_OBJECT_BYTES) {
    throw new DropbackError('store/too-large', `${totalBytes} bytes are more than S3 takes`, {
      hint: 'an object in S3 has at most 5 TiB: exclude data, or keep such backups elsewhere.',
      facts: { bytes: totalBytes, limit: LARGEST_OBJECT_BYTES },
    });
  }
  return Math.max(smallest, Math.ceil(totalBytes / MOST_PARTS / MIB) * MIB);
}

/**
 * The same for an archive whose size isn't known yet: its database may be larger than S3's largest
 * object where the archive, being compressed, is not. Its real size decides in the end.
 */
export function partBytesForEstimate(bytes: number, smallest = SMALLEST_PART_BYTES): number {
  return partBytesFor(Math.min(bytes, LARGEST_OBJECT_BYTES), smallest);
}
