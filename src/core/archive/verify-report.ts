import type { ErrorReport } from '../runtime/errors.ts';
import type { Verification } from './state-file.ts';

/** What came of one verification of one copy of a backup; JSON. */
export interface VerifyReport extends Verification {
  readonly id: string;
  readonly where: 'local' | 's3';
  /** Of the archive. */
  readonly bytes?: number;
  readonly warnings: readonly string[];
}

/** A store that could not be asked what lies in it. */
export interface UnaskedStore {
  readonly where: 'local' | 's3';
  readonly error: ErrorReport;
}

export interface VerifyOutcome {
  readonly reports: readonly VerifyReport[];
  readonly unasked: readonly UnaskedStore[];
}
