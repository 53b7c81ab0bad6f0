import { expect } from 'vitest';
import { DropbackError } from '../../src/core/runtime/errors.ts';

/** The DropbackError that a promise is rejected with; anything else fails the test. */
export async function failureOf(promise: Promise<unknown>): Promise<DropbackError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error !== undefined && !(error instanceof DropbackError)) throw error;
  expect(error).toBeInstanceOf(DropbackError);
  return error as DropbackError;
}
