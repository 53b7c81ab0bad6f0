import type { ErrorReport } from '../core/runtime/errors.ts';

/** Where a command prints; results go to `out`, everything else to `err`. */
export interface Terminal {
  readonly out: (line: string) => void;
  readonly err: (line: string) => void;
  /** True where `err` is a terminal: colours, and a bar that redraws itself. */
  readonly interactive: boolean;
  /** Columns; 80 where unknown. */
  readonly width: number;
  /** Writes without a line's end; only used when interactive. */
  readonly draw: (text: string) => void;
}

export function processTerminal(): Terminal {
  return {
    out: (line) => process.stdout.write(`${line}\n`),
    err: (line) => process.stderr.write(`${line}\n`),
    interactive: process.stderr.isTTY === true,
    width: process.stderr.columns || 80,
    draw: (text) => process.stderr.write(text),
  };
}

/** The one way in which a command tells of an error. */
export function printError(terminal: Terminal, error: ErrorReport): void {
  terminal.err(`${paint(terminal, 31, 'error')} ${error.code}: ${printable(error.message)}`);
  for (const line of printable(error.hint, '\n').split('\n')) terminal.err(`  hint: ${line}`);
}

const colours = { red: 31, green: 32, yellow: 33, dim: 2 } as const;

export function colour(terminal: Terminal, name: keyof typeof colours, text: string): string {
  return paint(terminal, colours[name], text);
}

function paint(terminal: Terminal, code: number, text: string): string {
  return terminal.interactive ? `\x1b[${code}m${text}\x1b[0m` : text;
}

/** File names and messages may hold anything: control characters never reach the terminal. */
export function printable(text: string, keep = ''): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it removes
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (character) =>
    keep.includes(character) ? character : '�',
  );
}
