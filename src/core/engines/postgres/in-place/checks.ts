import type { CheckResult } from '../../engine.ts';

/** Rights that only a staging database needs. */
const OF_STAGING = /^postgres\/rights\/(createdb$|createrole$|terminate$|setting|grantor)/;

/** What a restore in place doesn't need is no failure. */
export function checksInPlace(results: readonly CheckResult[]): CheckResult[] {
  const kept = results.filter(({ id, status }) => status === 'ok' || !OF_STAGING.test(id));
  const message =
    'restores go in place (RESTORE_IN_PLACE): own backups only, and the application is away for all of it';
  const hint =
    'give the role CREATEDB and unset RESTORE_IN_PLACE, and the application is away for a moment only.';
  return [...kept, { id: 'postgres/in-place', status: 'warning', message, hint }];
}
