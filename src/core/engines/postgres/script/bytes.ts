/** Byte classes of psql's lexical scanner, as tables: one lookup a byte. */

/** Bytes that may begin an identifier: letters, underscore, everything above ASCII. */
export const IDENTIFIER_START = table((byte) => isLetter(byte) || byte === 0x5f || byte >= 0x80);

/** Bytes that may continue an identifier. */
export const IDENTIFIER_PART = table(
  (byte) => isLetter(byte) || isDigit(byte) || byte === 0x5f || byte === 0x24 || byte >= 0x80,
);

/** Bytes of a dollar quote's tag and of a psql variable's name. */
export const NAME_PART = table(
  (byte) => isLetter(byte) || isDigit(byte) || byte === 0x5f || byte >= 0x80,
);

export const WHITESPACE = table(
  (byte) => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d && byte !== 0x0b),
);

export function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}

/** Statements mostly are: not worth a view. */
const SHORT = 256;
const NEWLINES = 0x0a0a0a0a;
const LOW_BITS = 0x7f7f7f7f;
/** So often one may be added in each of a word's four bytes. */
const MOST_ADDED = 255;

/** Four bytes at a time: half of the work on a dump would be this. */
export function countNewlines(bytes: Uint8Array): number {
  const { buffer, byteOffset, length } = bytes;
  if (length < SHORT) return countIn(bytes, 0, length);
  const aligned = -byteOffset & 3;
  const words = new Uint32Array(buffer, byteOffset + aligned, (length - aligned) >> 2);
  const rest = aligned + 4 * words.length;
  return countIn(bytes, 0, aligned) + countInWords(words) + countIn(bytes, rest, length);
}

function countIn(bytes: Uint8Array, from: number, to: number): number {
  let count = 0;
  for (let at = from; at < to; at++) if (bytes[at] === 0x0a) count++;
  return count;
}

function countInWords(words: Uint32Array): number {
  let count = 0;
  for (let at = 0; at < words.length; ) {
    const end = Math.min(words.length, at + MOST_ADDED);
    let sums = 0;
    for (; at < end; at++) {
      const word = (words[at] as number) ^ NEWLINES;
      // The high bit of each byte that is zero, and of no other.
      const zeros = ~(((word & LOW_BITS) + LOW_BITS) | word | LOW_BITS);
      sums = (sums + (zeros >>> 7)) | 0;
    }
    count += (sums & 0xff) + ((sums >>> 8) & 0xff) + ((sums >>> 16) & 0xff) + (sums >>> 24);
  }
  return count;
}

function isLetter(byte: number): boolean {
  return (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a);
}

function table(holds: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (holds(byte) ? 1 : 0));
}
