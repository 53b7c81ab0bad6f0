const LINE_THEN_MARKER = Buffer.from('\n\\.');

/** Finds the line `\.` that ends a COPY block, wherever the chunks are cut. */
export class CopyDataScanner {
  #atLineStart = true;

  reset(): void {
    this.#atLineStart = true;
  }

  /** Length of the end marker at `at`, its line end included; 0 = none, -1 = not yet known. */
  marker(bytes: Buffer, at: number): number {
    return this.#atLineStart ? markerLength(bytes, at) : 0;
  }

  /** End of the data that are surely before the marker; call where there is no marker at `from`. */
  data(bytes: Buffer, from: number): number {
    for (let search = from; ; ) {
      const at = bytes.indexOf(LINE_THEN_MARKER, search);
      if (at < 0) break;
      if (markerLength(bytes, at + 1) !== 0) {
        this.#atLineStart = true;
        return at + 1;
      }
      search = at + 1;
    }
    const end = bytes.length;
    const last = bytes[end - 1];
    if (last === 0x5c && (end - 2 >= from ? bytes[end - 2] === 0x0a : false)) {
      this.#atLineStart = true;
      return end - 1;
    }
    this.#atLineStart = last === 0x0a;
    return end;
  }
}

/** psql takes `\.` only when nothing else is on its line. */
function markerLength(bytes: Buffer, at: number): number {
  const wanted = [0x5c, 0x2e];
  for (const [index, byte] of wanted.entries()) {
    if (at + index >= bytes.length) return -1;
    if (bytes[at + index] !== byte) return 0;
  }
  const third = bytes[at + 2];
  if (third === undefined) return -1;
  if (third === 0x0a) return 3;
  if (third !== 0x0d) return 0;
  const fourth = bytes[at + 3];
  if (fourth === undefined) return -1;
  return fourth === 0x0a ? 4 : 0;
}
