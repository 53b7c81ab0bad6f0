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

/** A plain loop: for the short lines of a dump faster than one native search a line. */
export function countNewlines(bytes: Uint8Array): number {
  let count = 0;
  for (let at = 0; at < bytes.length; at++) if (bytes[at] === 0x0a) count++;
  return count;
}

function isLetter(byte: number): boolean {
  return (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a);
}

function table(holds: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (holds(byte) ? 1 : 0));
}
