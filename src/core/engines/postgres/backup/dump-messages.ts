import { DropbackError, toDropbackError } from '../../../runtime/errors.ts';
import { saysDiskFull } from '../../../runtime/process/disk-full.ts';
import { outOfLocks, saysOutOfLocks } from '../out-of-locks.ts';

const MOST_WARNINGS = 100;

/**
 * Program, level and text are printed one after the other, and so are those of its workers: between two
 * parts of a line there may be another's. With thousands of small tables that happens to one line in twenty.
 */
const OF_A_LEVEL = /^(?:pg_(?:dump|restore):| )*(error|warning|detail|hint): (.*)$/s;
/** The text of lines that several processes print at a time, where another's part came before it. */
const TORN = /^(?:pg_dump:| )*(?:dumping contents of table|finished item|saving large objects)/;

/** What only `--verbose` prints. */
export function isProgressOfDump(line: string): boolean {
  if (TORN.test(line)) return true;
  const isOwn = line.startsWith('pg_dump:') && !line.endsWith(': terminated by user');
  return isOwn && !OF_A_LEVEL.test(line);
}

/** Sorts what pg_dump prints into warnings and errors; details and hints join their message. */
export class DumpMessages {
  readonly warnings: string[] = [];
  readonly errors: string[] = [];
  #last: string[] | undefined;
  #dropped = 0;

  add(line: string): void {
    if (isProgressOfDump(line)) {
      this.#last = undefined;
      return;
    }
    const [, kind, text] = OF_A_LEVEL.exec(line) ?? [];
    if (kind === 'error' || kind === 'warning') {
      const list = kind === 'error' ? this.errors : this.warnings;
      if (list.length >= MOST_WARNINGS) {
        this.#dropped++;
        this.#last = undefined;
        return;
      }
      list.push(`pg_dump: ${text}`);
      this.#last = list;
    } else if (this.#last) {
      const more = kind === undefined ? line.trim() : `${text}`;
      this.#last.push(`${this.#last.pop()} (${more})`);
    }
  }

  /** With a last line for those that were too many. */
  get allWarnings(): string[] {
    const more = this.#dropped > 0 ? [`and ${this.#dropped} more messages of pg_dump`] : [];
    return [...this.warnings, ...more];
  }
}

/** What a failed pipeline means, where its programs' own words tell. */
export function dumpError(error: unknown): DropbackError {
  const known = toDropbackError(error);
  if (known.code !== 'tool/failed') return known;
  const { program, stderr = [] } = known.facts as { program?: string; stderr?: readonly string[] };
  const said = stderr.join('\n');
  const message = causeFirst(known.message, stderr);
  if (saysDiskFull(said)) {
    return new DropbackError('disk/full', `no space left for the backup: ${message}`, {
      hint: 'free space on the volume of BACKUP_DIR, make it larger, or keep fewer backups.',
      facts: known.facts,
      cause: error,
    });
  }
  if (program !== 'pg_dump') return known;
  if (isLostConnection(said)) {
    return new DropbackError('database/unreachable', `the connection broke: ${message}`, {
      hint: "the server was stopped, or ended the dump's session: its log says why.",
      facts: known.facts,
      retryable: true,
      cause: error,
    });
  }
  if (saysOutOfLocks(said)) {
    const so = 'pg_dump locks every table that it saves, and some of what belongs to them.';
    return outOfLocks(message, so, { facts: known.facts, cause: error });
  }
  if (/permission denied|query would be affected by row-level security/.test(said)) {
    return new DropbackError('backup/not-permitted', message, {
      hint: 'let a superuser grant what is missing: pg_read_all_data, and BYPASSRLS for row security.',
      facts: known.facts,
      cause: error,
    });
  }
  if (message === known.message) return known;
  const { hint, facts } = known;
  return new DropbackError(known.code, message, { hint, facts, cause: error });
}

/** The last that pg_dump says is often a detail, or only that one of its workers has ended. */
function causeFirst(message: string, stderr: readonly string[]): string {
  const isCause = (line: string) => {
    const [, kind, text = ''] = OF_A_LEVEL.exec(line) ?? [];
    const isEpilogue = text.endsWith('a worker process died unexpectedly');
    return kind === 'error' && !isEpilogue && !isProgressOfDump(text);
  };
  const cause = stderr.find(isCause);
  const last = stderr.at(-1) ?? '';
  if (cause === undefined || isCause(last) || !message.endsWith(last)) return message;
  return message.slice(0, message.length - last.length) + cause;
}

/** pg_dump gave up waiting for a table. */
export function isLockTimeout(error: DropbackError): boolean {
  const { stderr } = error.facts as { stderr?: readonly string[] };
  return /lock timeout|could not obtain lock/.test((stderr ?? []).join('\n'));
}

/** A table or view went away between the snapshot and pg_dump's look at it. */
export function isChangedUnderneath(error: DropbackError): boolean {
  if (['42P01', '3F000'].includes(String(error.facts['sqlstate']))) return true;
  const { program, stderr } = error.facts as { program?: string; stderr?: readonly string[] };
  return (
    program === 'pg_dump' &&
    /does not exist|cache lookup failed|could not open relation with OID|appears to be empty/.test(
      (stderr ?? []).join('\n'),
    )
  );
}

/** As libpq tells it: which words depends on what it was doing, and on TLS. */
function isLostConnection(said: string): boolean {
  return /server closed the connection|terminating connection|connection to server .* failed|SSL connection has been closed|SSL SYSCALL error|unexpected eof while reading|could not (?:receive|send) data|lost synchronization with server|connection (?:reset by peer|pointer is NULL|not open)|no connection to the server|\bFATAL: /i.test(
    said,
  );
}
