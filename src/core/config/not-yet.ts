import type { Environment } from './environment.ts';
import type { VariableName } from './variables.ts';
import { dropbackVersion } from './version.ts';

/**
 * Variables whose feature this version does not have. One that is set is a problem: whoever asks
 * for encryption must not get a plaintext backup. To enable a feature, remove its line.
 */
const notYet: readonly { readonly name: VariableName; readonly value?: string }[] = [
  { name: 'DATABASES_FILE' },
  { name: 'BACKUP_AGE_RECIPIENTS' },
  { name: 'RESTORE_AGE_IDENTITY' },
];

export function refuseNotYetAvailable(environment: Environment): void {
  for (const { name, value } of notYet) {
    const set = environment.get(name);
    if (set === undefined || (value !== undefined && set.trim().toLowerCase() !== value)) continue;
    const what = value === undefined ? 'is' : `= ${value} is`;
    environment.problem(
      name,
      `${what} not available in version ${dropbackVersion}`,
      'remove it, or use a later version.',
    );
  }
}

/** For the README: which of the table's variables are announced only. */
export function isNotYetAvailable(name: string): boolean {
  return notYet.some((entry) => entry.name === name && entry.value === undefined);
}
