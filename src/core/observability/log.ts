import { type Logger as PinoLogger, pino } from 'pino';
import { type ErrorReport, errorReport, toDropbackError } from '../runtime/errors.ts';
import { Redactor } from '../runtime/redact.ts';
import type { LogTail } from './log-tail.ts';

/** Structured log. Call `log.info({ facts }, 'lowercase message')`. */
export type Logger = Pick<
  PinoLogger,
  'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'child'
>;

export interface LogOptions {
  readonly level: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';
  readonly format: 'json' | 'text';
  /** `db-backup`, `db-restore` or `dropback`. */
  readonly program: string;
  /** Of several databases: the one whose lines these are, as `db` in each. */
  readonly db?: string;
  /** Gets every line that is logged, too. */
  readonly tail?: LogTail;
  /** Taken out of every line, wherever it came from: a program's message, a hook's output. */
  readonly secrets?: readonly string[];
}

/** Paths that are never printed, whatever a caller logs by mistake. */
const REDACTED = ['password', '*.password', 'PGPASSWORD', '*.PGPASSWORD', 'secret', '*.secret'];

export function createLogger(options: LogOptions): Logger {
  const settings = {
    level: options.level,
    base: { program: options.program, ...(options.db ? { db: options.db } : {}) },
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: REDACTED,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { error: errorForLog },
  };
  const output = options.format === 'text' ? textDestination() : standardOutput();
  const destination = options.tail ? withTail(output, options.tail) : output;
  const { secrets } = options;
  return pino(settings, secrets?.length ? withoutSecrets(destination, secrets) : destination);
}

function withoutSecrets(destination: Destination, secrets: readonly string[]): Destination {
  const redactor = Redactor.of(secrets);
  return { write: (line) => destination.write(redactor.json(line)) };
}

let opened: Destination | undefined;

/** One for all loggers. */
function standardOutput(): Destination {
  opened ??= pino.destination({ dest: 1, sync: true });
  return opened;
}

interface Destination {
  write(line: string): void;
}

function withTail(destination: Destination, tail: LogTail): Destination {
  return {
    write(line) {
      tail.push(formatTextLine(line));
      destination.write(line);
    },
  };
}

/** Logged once, where it stops travelling upward: report plus the stack of what is a bug. */
export function errorForLog(error: unknown): unknown {
  if (isReport(error) && !(error instanceof Error)) return error;
  const known = toDropbackError(error);
  const report = errorReport(known);
  const isBug = known.code.startsWith('internal/');
  const origin = known.cause instanceof Error ? known.cause : known;
  return isBug ? { ...report, stack: origin.stack } : report;
}

export function silentLogger(): Logger {
  return pino({ level: 'silent' });
}

/** One readable line a message, for people: `19:15:00 info  message  key=value`. */
function textDestination(): Destination {
  return {
    write(line) {
      process.stdout.write(`${formatTextLine(line)}\n`);
    },
  };
}

/** Exported for its test. */
export function formatTextLine(line: string): string {
  const { time, level, msg, program, error, ...rest } = JSON.parse(line) as Record<string, unknown>;
  const clock = String(time).slice(11, 19);
  const facts = Object.entries(rest).flatMap(([key, value]) => {
    const text = textValue(value);
    return text === undefined ? [] : [`${key}=${text}`];
  });
  const parts = [clock, String(level).padEnd(5), String(program), String(msg), ...facts];
  const text = printable(parts.join(' '));
  if (!isReport(error)) return text;
  const { code, message, hint } = error;
  return `${text}\n    ${code}: ${printable(message)}\n    hint: ${printable(hint)}`;
}

/** Names and messages come out of files: nothing in them may steer the reader's terminal. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '\u{fffd}');
}

/** Long values are cut, and whole objects (a report) left out: JSON is the format that has everything. */
const LONGEST_TEXT_VALUE = 160;

function textValue(value: unknown): string | undefined {
  const text = typeof value === 'string' && !/\s/.test(value) ? value : JSON.stringify(value);
  if (typeof value === 'object' && text.length > LONGEST_TEXT_VALUE) return undefined;
  return text.length > LONGEST_TEXT_VALUE ? `${text.slice(0, LONGEST_TEXT_VALUE)}…` : text;
}

function isReport(value: unknown): value is ErrorReport {
  return typeof value === 'object' && value !== null && 'code' in value && 'hint' in value;
}
