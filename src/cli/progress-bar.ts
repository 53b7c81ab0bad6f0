import { printable, type Terminal } from './terminal.ts';

/**
 * Progress of something that runs elsewhere. On a terminal one line that redraws itself; otherwise
 * one line for each new step, so that a log of it can be read.
 */
export class ProgressBar {
  readonly #terminal: Terminal;
  #lastLabel = '';
  #drawn = false;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  /** `fraction` from 0 to 1, or undefined where it isn't known. */
  update(label: string, fraction: number | undefined): void {
    const text = printable(label);
    if (!this.#terminal.interactive) {
      if (text !== this.#lastLabel) this.#terminal.err(text);
      this.#lastLabel = text;
      return;
    }
    this.#terminal.draw(`\r\x1b[K${progressLine(text, fraction, this.#terminal.width)}`);
    this.#drawn = true;
  }

  /** Leaves the line free for what is printed next. */
  clear(): void {
    if (this.#drawn) this.#terminal.draw('\r\x1b[K');
    this.#drawn = false;
  }
}

export function progressLine(label: string, fraction: number | undefined, width: number): string {
  const room = Math.max(20, width - 1);
  if (fraction === undefined) return label.slice(0, room);
  const share = Math.min(1, Math.max(0, fraction));
  const percent = `${Math.floor(share * 100)}%`.padStart(4);
  const barWidth = Math.max(10, Math.min(30, room - label.length - percent.length - 4));
  const full = Math.round(share * barWidth);
  const bar = '█'.repeat(full) + '░'.repeat(barWidth - full);
  return `${bar} ${percent}  ${label}`.slice(0, room);
}
