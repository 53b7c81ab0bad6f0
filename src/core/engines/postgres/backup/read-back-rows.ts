const NEWLINE = 0x0a;
const BACKSLASH = 0x5c;
const DOT = 0x2e;
/** Bytes of a row that are looked at one by one before the native search takes over. */
const SHORT_ROW = 48;

/**
 * Counts the rows of one COPY block in text format: lines up to the one that is `\.`. A newline
 * within a value is escaped, and a value that is `\.` is written `\\.`, so lines are enough.
 */
export class CopyRows {
  count = 0;
  isDone = false;
  /** How much of the end marker the present line has matched so far; -1: it is another line. */
  #matched = 0;

  reset(): void {
    this.count = 0;
    this.isDone = false;
    this.#matched = 0;
  }

  /** Takes bytes from `from` up to `length`; returns the position after the block's end, or `length`. */
  push(chunk: Buffer, from: number, length = chunk.length): number {
    let at = from;
    let matched = this.#matched;
    let count = this.count;
    while (at < length) {
      if (matched === -1) {
        at = endOfLine(chunk, at, length);
        if (at === length) break;
        count++;
        matched = 0;
        at++;
        continue;
      }
      const byte = chunk[at];
      if (matched === 2 && byte === NEWLINE) {
        this.isDone = true;
        this.count = count;
        return at + 1;
      }
      if (matched === 0 && byte === BACKSLASH) matched = 1;
      else if (matched === 1 && byte === DOT) matched = 2;
      else {
        // Not the marker; a newline here ends an ordinary row.
        matched = -1;
        continue;
      }
      at++;
    }
    this.#matched = matched;
    this.count = count;
    return at;
  }
}

function endOfLine(chunk: Buffer, from: number, length: number): number {
  const near = Math.min(from + SHORT_ROW, length);
  let at = from;
  while (at < near && chunk[at] !== NEWLINE) at++;
  if (at < near || at === length) return at;
  const found = chunk.indexOf(NEWLINE, at);
  return found === -1 || found > length ? length : found;
}
