import { createHash, type Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { readPieces } from '../file-copy.ts';
import { cutShort, type FileRange } from './part-stream.ts';

/** A range of the archive with the digests that its receiver has to agree with. */
export interface Part extends FileRange {
  /** Counted from 1. */
  readonly number: number;
  readonly md5: Buffer;
  /** Hex. */
  readonly sha256: string;
}

/**
 * Digests of a file's ranges, in order, and of the whole on the way: an archive whose bytes changed
 * since it was verified is noticed before it is published.
 */
export class PartDigester {
  readonly #file: FileHandle;
  readonly #whole: Hash = createHash('sha256');
  #at = 0;
  #number = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Where the next part begins. */
  get at(): number {
    return this.#at;
  }

  async next(bytes: number, signal: AbortSignal): Promise<Part> {
    const start = this.#at;
    const end = start + bytes;
    const md5 = createHash('md5');
    const sha256 = createHash('sha256');
    for await (const piece of readPieces(this.#file, start, end, signal)) {
      md5.update(piece);
      sha256.update(piece);
      this.#whole.update(piece);
      this.#at += piece.length;
    }
    if (this.#at !== end) throw cutShort(end, this.#at);
    this.#number++;
    return { number: this.#number, start, end, md5: md5.digest(), sha256: sha256.digest('hex') };
  }

  /** Hex; of everything up to `at`. Ends the digester. */
  whole(): string {
    return this.#whole.digest('hex');
  }
}
