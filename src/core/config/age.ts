import { type AgeIdentity, looksLikeIdentity, readIdentityText } from '../encryption/identity.ts';
import { readRecipients } from '../encryption/recipients.ts';
import type { Environment } from './environment.ts';

/** BACKUP_AGE_RECIPIENTS; empty where it is unset. What it holds is never repeated in a problem. */
export function readAgeRecipients(environment: Environment): readonly string[] {
  const text = environment.get('BACKUP_AGE_RECIPIENTS');
  if (text === undefined) return [];
  const found = readRecipients(text);
  if ('ok' in found) return found.ok;
  environment.problem('BACKUP_AGE_RECIPIENTS', found.message, found.hint);
  return [];
}

/** RESTORE_AGE_IDENTITY: a path, or what stands in such a file (so it is with _FILE). */
export function readAgeIdentity(environment: Environment): { readonly ageIdentity?: AgeIdentity } {
  const name = 'RESTORE_AGE_IDENTITY';
  const value = environment.get(name);
  if (value === undefined) return {};
  const isInline = looksLikeIdentity(value);
  const path = isInline ? environment.raw[`${name}_FILE`] : value;
  try {
    const text = isInline ? value : environment.host.readFile(environment.path(value));
    const found = readIdentityText(text);
    if ('ok' in found) {
      return { ageIdentity: { text: found.ok, ...(path ? { path: environment.path(path) } : {}) } };
    }
    environment.problem(name, found.message, found.hint);
  } catch (error) {
    // The message would repeat the path, which is a secret where it was meant to be the key.
    const { code } = error as NodeJS.ErrnoException;
    environment.problem(
      name,
      `is the path of a file that cannot be read${code ? ` (${code})` : ''}`,
      'check the path, that the file is mounted into this container, and that PUID may read it.',
    );
  }
  return {};
}
