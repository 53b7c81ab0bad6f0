import type { Environment } from './environment.ts';
import type { VariableName } from './variables.ts';
import { dropbackVersion } from './version.ts';

/**
 * Variables whose feature this version does not have. One that is set is a problem: whoever asks
 * for encryption must not get a plaintext backup. To enable a feature, remove its line.
 */
const notYet: readonly VariableName[] = ['DATABASES_FILE'];

export function refuseNotYetAvailable(environment: Environment): void {
  for (const name of notYet) {
    if (environment.get(name) === undefined) continue;
    environment.problem(
      name,
      `is not available in version ${dropbackVersion}`,
      'remove it, or use a later version.',
    );
  }
}

/** For the README: which of the table's variables are announced only. */
export function isNotYetAvailable(name: string): boolean {
  return notYet.some((announced) => announced === name);
}
