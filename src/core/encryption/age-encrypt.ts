import type { Manifest } from '../archive/manifest.ts';
import { DropbackError, toDropbackError } from '../runtime/errors.ts';
import { requireProgram } from '../runtime/process/find-program.ts';
import type { Program } from '../runtime/process/program.ts';

/** After the extension of what is inside. */
export const AGE_SUFFIX = '.age';

/** A filter that encrypts to all of them; who made the stream can't read it again. */
export function ageEncrypt(recipients: readonly string[], extra: Partial<Program> = {}): Program {
  const args = ['--encrypt', ...recipients.flatMap((one) => ['--recipient', one])];
  return { name: 'age', file: requireProgram('age'), args, ...extra };
}

/** `backup/not-encrypted` for what age refuses, any other error as it was. */
export function encryptionError(error: unknown): DropbackError {
  const known = toDropbackError(error);
  if (known.code !== 'tool/failed' || known.facts['program'] !== 'age') return known;
  const { stderr } = known.facts;
  const said = Array.isArray(stderr) ? stderr.join('\n') : '';
  const line = /^age: error: (.*)$/m.exec(said)?.[1] ?? known.message;
  return new DropbackError('backup/not-encrypted', `age does not encrypt: ${line}`, {
    hint: 'check BACKUP_AGE_RECIPIENTS against `age-keygen -y KEYFILE`. Nothing is stored unencrypted instead.',
    facts: known.facts,
    cause: error,
  });
}

/** What a manifest says of it; public keys alone. */
export function encryptionOf(
  recipients: readonly string[],
): Pick<Manifest['archive'], 'encryption'> {
  return recipients.length > 0 ? { encryption: { method: 'age', recipients } } : {};
}
