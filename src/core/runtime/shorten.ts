/** At most so many UTF-16 units, an ellipsis included; no half of a pair is left. */
export function shorten(text: string, most: number): string {
  return text.length > most ? `${whole(text.slice(0, most - 1))}…` : text;
}

/** The same by bytes of UTF-8. */
export function shortenToBytes(text: string, most: number): string {
  if (Buffer.byteLength(text) <= most) return text;
  const room = Buffer.from(text).subarray(0, most - Buffer.byteLength('…'));
  // A character that was cut in two becomes U+FFFD at the end.
  return `${room.toString('utf8').replace(/\u{fffd}$/u, '')}…`;
}

/** Half a pair is no text: receivers refuse it. */
function whole(text: string): string {
  return /[\ud800-\udbff]$/.test(text) ? text.slice(0, -1) : text;
}
