/** Keeps the last lines of a program's standard error: bounded, however much it prints. */
export class StderrTail {
  static readonly mostLines = 50;
  static readonly mostLineLength = 2000;
  readonly lines: string[] = [];
  #rest = '';
  readonly #onLine: (line: string) => void;
  readonly #isProgress: (line: string) => boolean;
  readonly #decoder = new TextDecoder();

  /** `isProgress`: of lines that are told and not kept. */
  constructor(onLine: (line: string) => void, isProgress: (line: string) => boolean = () => false) {
    this.#onLine = onLine;
    this.#isProgress = isProgress;
  }

  push(chunk: Uint8Array): void {
    const parts = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split('\n');
    this.#rest = (parts.pop() ?? '').slice(0, StderrTail.mostLineLength);
    for (const part of parts) this.#add(part);
  }

  end(): void {
    this.#add(this.#rest);
    this.#rest = '';
  }

  #add(text: string): void {
    const line = text.trimEnd().slice(0, StderrTail.mostLineLength);
    if (line === '') return;
    if (!this.#isProgress(line)) this.lines.push(line);
    if (this.lines.length > StderrTail.mostLines) this.lines.shift();
    this.#onLine(line);
  }
}
