/** Goes on beside something else, and ends with it: a start that comes late would meet the next stop. */
export class Meanwhile implements AsyncDisposable {
  readonly #signal: AbortSignal;
  readonly #over = new AbortController();
  #work: Promise<unknown> | undefined;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** Once. Its failure is its own matter. */
  begin(work: (until: AbortSignal) => Promise<unknown>): void {
    this.#work ??= work(AbortSignal.any([this.#signal, this.#over.signal])).catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    await this.#work;
  }
}
