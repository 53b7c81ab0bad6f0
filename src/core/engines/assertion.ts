import { DropbackError } from '../runtime/errors.ts';

const MOST_SHOWN = 200;

/** A query of BACKUP_VERIFY_SQL that did not return true on a restored backup. */
export function assertionFailed(query: string, why: string, cause?: unknown): DropbackError {
  const text = query.replace(/\s+/g, ' ').trim();
  const shown = text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN - 1)}…` : text;
  return new DropbackError('verify/assertion-failed', `BACKUP_VERIFY_SQL: ${why}: ${shown}`, {
    hint: 'what you said of your data does not hold in this backup. Ask the live database the same, then an older backup.',
    facts: { query: text },
    ...(cause === undefined ? {} : { cause }),
  });
}

/** A text in BACKUP_VERIFY_SQL that is no query: nothing can be said of the backup. */
export function queryInvalid(query: string, why: string, cause?: unknown): DropbackError {
  return new DropbackError('verify/query-invalid', `BACKUP_VERIFY_SQL is not SQL: ${why}`, {
    hint: 'correct it: each query ends in a semicolon and returns one row with one true value.',
    facts: { query },
    ...(cause === undefined ? {} : { cause }),
  });
}

/** A query that can't be asked where rehearsals are: nothing can be said of the backup either. */
export function queryImpossible(
  query: string,
  why: string,
  { hint, cause }: { readonly hint: string; readonly cause?: unknown },
): DropbackError {
  return new DropbackError('verify/query-impossible', `BACKUP_VERIFY_SQL could not ask: ${why}`, {
    hint,
    facts: { query },
    ...(cause === undefined ? {} : { cause }),
  });
}

export function describeAnswer(rows: number, value: unknown): string {
  if (rows === 0) return 'it returned no row';
  if (rows > 1) return 'it returned more than one row';
  const text = JSON.stringify(value ?? null) ?? 'nothing';
  return `it returned ${text.length > 60 ? `${text.slice(0, 59)}…` : text}, not true`;
}
