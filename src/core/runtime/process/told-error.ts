import { DropbackError, errorReport, toDropbackError } from '../errors.ts';

/** Exit code of a helper process of ours when it answers with an error of ours. */
export const TOLD_ERROR = 10;

export interface ToldError {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  readonly facts?: Readonly<Record<string, unknown>>;
  readonly retryable: boolean;
}

/** What a helper process writes as its last message: JSON. */
export function tellError(error: unknown): { readonly error: ToldError } {
  const told = toDropbackError(error);
  return { error: { ...errorReport(told), retryable: told.retryable } };
}

/** The error that `program` told as its last message. */
export function toldError(message: unknown, program: string): DropbackError {
  if (typeof message === 'object' && message !== null && 'error' in message) {
    const { code, message: text, hint, facts, retryable } = message.error as ToldError;
    return new DropbackError(code, text, { hint, retryable, ...(facts ? { facts } : {}) });
  }
  return new DropbackError('internal/unexpected', `the ${program} gave no answer`, {
    hint: 'this is a bug in dropback: the log has the details.',
  });
}
