import type { Writable } from 'node:stream';

const MOST_AT_ONCE = 1000;

/**
 * The names of the files that go into a tar, in their order, for `tar --files-from=-`: told as they
 * come, to any number of readers, each from the first on.
 */
export class PackedNames {
  readonly #names: string[] = [];
  readonly #known = new Set<string>();
  readonly #readers = new Set<() => void>();
  #isComplete = false;

  has(name: string): boolean {
    return this.#known.has(name);
  }

  /** Each name counts once. */
  add(name: string): void {
    if (this.#known.has(name)) return;
    this.#known.add(name);
    this.#names.push(name);
    this.#tell();
  }

  /** No more of them; readers end. */
  complete(): void {
    this.#isComplete = true;
    this.#tell();
  }

  /** Writes them, each with a zero byte behind it, and ends the stream; settles early where that is closed. */
  async feed(stdin: Writable): Promise<void> {
    let wake = () => {};
    const tell = () => wake();
    this.#readers.add(tell);
    stdin.on('drain', tell).on('close', tell);
    for (let told = 0; !stdin.destroyed; ) {
      // One a wait: a race against a promise that stays would leave something behind for every name.
      const { promise: news, resolve } = Promise.withResolvers<void>();
      wake = resolve;
      const fresh = stdin.writableNeedDrain ? [] : this.#names.slice(told, told + MOST_AT_ONCE);
      told += fresh.length;
      if (fresh.length > 0) stdin.write(fresh.map((name) => `${name}\0`).join(''));
      else if (this.#isComplete && told === this.#names.length) break;
      else await news;
    }
    this.#readers.delete(tell);
    stdin.off('drain', tell).off('close', tell);
    stdin.end();
  }

  #tell(): void {
    for (const tell of this.#readers) tell();
  }
}
