import { once } from 'node:events';
import type { Writable } from 'node:stream';

const MOST_AT_ONCE = 1000;

/**
 * The names of the files that go into a tar, in their order, for `tar --files-from=-`: told as they
 * come, to any number of readers, each from the first on.
 */
export class PackedNames {
  readonly #names: string[] = [];
  readonly #known = new Set<string>();
  #isComplete = false;
  #news = Promise.withResolvers<void>();

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
    const closed = new Promise<void>((resolve) => stdin.once('close', resolve));
    for (let told = 0; !stdin.destroyed; ) {
      const { promise: news } = this.#news;
      const fresh = this.#names.slice(told, told + MOST_AT_ONCE);
      told += fresh.length;
      if (fresh.length > 0) {
        const isTaken = stdin.write(fresh.map((name) => `${name}\0`).join(''));
        if (!isTaken) await Promise.race([once(stdin, 'drain'), closed]);
      } else if (this.#isComplete) break;
      else await Promise.race([news, closed]);
    }
    stdin.end();
  }

  #tell(): void {
    const { resolve } = this.#news;
    this.#news = Promise.withResolvers<void>();
    resolve();
  }
}
