import { DropbackError } from '../../../runtime/errors.ts';

/** The reasons for which a script is refused while it is being read. */

const DUMP_AGAIN = 'dump the database again with pg_dump, and drop the file as it was written.';

export interface Place {
  readonly line: number;
  readonly offset: number;
}

export function truncated(where: string, place: Place): DropbackError {
  return new DropbackError('drop/truncated', `the script is incomplete: it ends ${where}`, {
    hint: 'copy or download the file again; if it is no longer than before, dump again.',
    facts: { ...place },
  });
}

export function metaCommand(command: string, place: Place): DropbackError {
  const shown = printable(command);
  return new DropbackError(
    'drop/meta-command',
    `line ${place.line} holds a command of psql, not SQL: ${shown}`,
    {
      hint: `only what pg_dump writes is loaded. ${DUMP_AGAIN}`,
      facts: { ...place, command: shown },
    },
  );
}

export function nulByte(offset: number): DropbackError {
  return new DropbackError('drop/not-text', `the script holds a zero byte at offset ${offset}`, {
    hint: `a plain dump is text: the file is damaged, or something else. ${DUMP_AGAIN}`,
    facts: { offset },
  });
}

export function unsupportedSyntax(what: string, place: Place): DropbackError {
  return new DropbackError('drop/unsupported-syntax', `line ${place.line}: ${what}`, {
    hint: `pg_dump doesn't write that; only its own scripts are loaded. ${DUMP_AGAIN}`,
    facts: { ...place },
  });
}

export function transactionControl(command: string, place: Place): DropbackError {
  return new DropbackError(
    'drop/transaction-control',
    `line ${place.line} begins or ends a transaction: ${printable(command)}`,
    {
      hint: `pg_dump doesn't write that around data or definitions. ${DUMP_AGAIN}`,
      facts: { ...place },
    },
  );
}

export function statementTooLong(limit: number, place: Place): DropbackError {
  return new DropbackError(
    'drop/statement-too-long',
    `the statement that begins on line ${place.line} is longer than ${limit} bytes`,
    {
      hint: 'look there for a quote that is never closed; a dump in the custom format (-Fc) has no such limit.',
      facts: { ...place, limit },
    },
  );
}

export function tooManyObjects(limit: number): DropbackError {
  return new DropbackError('drop/too-many-objects', `the script names more than ${limit} objects`, {
    hint: 'restore a dump of this size by hand with psql.',
    facts: { limit },
  });
}

/** What is found in it has to be told to whoever goes on with it. */
export function tooManyNames(mostBytes: number): DropbackError {
  return new DropbackError(
    'drop/too-many-objects',
    `the names, owners and grants in the file are more than ${mostBytes} bytes of text`,
    {
      hint: 'give db-restore more memory (DROPBACK_MEMORY), or restore a dump of this size by hand.',
      facts: { mostBytes },
    },
  );
}

/** Its reader came to its limits of memory, or has met a bug of ours. */
export function tooComplex(cause: unknown): DropbackError {
  return new DropbackError(
    'drop/too-complex',
    'the file could not be read within the memory that its reader may take',
    {
      hint: 'pg_dump writes no statement of that size: dump the database again. If pg_dump has written it, give db-restore more memory (DROPBACK_MEMORY).',
      cause,
    },
  );
}

/** One line of printable text, short enough for a log. */
export function printable(text: string, most = 80): string {
  const line = text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ').trim();
  return line.length > most ? `${line.slice(0, most)}…` : line;
}
