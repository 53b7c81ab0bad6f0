import { execFileSync } from 'node:child_process';
import type { AgeIdentity } from '../../src/core/encryption/identity.ts';

export interface AgeKey {
  readonly identity: AgeIdentity;
  readonly recipient: string;
}

export function newAgeKey(): AgeKey {
  const text = execFileSync('age-keygen', {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const recipient = execFileSync('age-keygen', ['-y'], { input: text, encoding: 'utf8' }).trim();
  return { identity: { text }, recipient };
}

/** As `age -r … [-a]` encrypts it. */
export function encrypt(content: Buffer | string, recipients: string[], ...more: string[]): Buffer {
  const args = [...recipients.flatMap((one) => ['-r', one]), ...more];
  return execFileSync('age', args, { input: content, maxBuffer: 1e9 });
}
