import { DropbackError, type ErrorReport } from '../core/runtime/errors.ts';

/** What is wrong with a backup that is listed all the same. */
export function notRehearsed(
  id: string,
  status: 'failed' | 'unreadable' | 'inconclusive',
  error: ErrorReport,
): DropbackError {
  const [code, what] =
    status === 'failed'
      ? ['backup/does-not-restore', 'it does not restore']
      : ['backup/not-rehearsed', 'it could not be restored as a test'];
  return new DropbackError(code, `${id} is listed, but ${what}: ${error.message}`, {
    hint: error.hint,
    facts: { id, rehearsal: error },
  });
}

export function notUploaded(id: string, error: ErrorReport): DropbackError {
  return new DropbackError(
    'backup/not-uploaded',
    `${id} is listed, but not uploaded: ${error.message}`,
    {
      hint: `${error.hint} The local backup is good; the daemon uploads it when the store is back.`,
      facts: { id, upload: error },
    },
  );
}
