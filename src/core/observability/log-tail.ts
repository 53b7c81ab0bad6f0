const MOST_LINES = 200;

/** The latest lines of a log, in the form for people: for whoever gets no access to the log. */
export class LogTail {
  #lines: string[] = [];

  push(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > MOST_LINES) this.#lines.shift();
  }

  /** From here on: a new run. */
  clear(): void {
    this.#lines = [];
  }

  get text(): string {
    return this.#lines.join('\n');
  }
}
