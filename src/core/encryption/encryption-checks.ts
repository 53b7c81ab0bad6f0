import { stat } from 'node:fs/promises';
import type { CheckResult } from '../engines/engine.ts';
import { errorReport } from '../runtime/errors.ts';
import { capture } from '../runtime/process/pipeline.ts';
import { decryptionError, feedIdentity } from './age-decrypt.ts';
import { ageEncrypt, encryptionError } from './age-encrypt.ts';
import type { AgeIdentity } from './identity.ts';

const TIMEOUT_MS = 10_000;

/** Encrypts nothing at all to them: age says of each whether it is right. */
export async function recipientChecks(
  recipients: readonly string[],
  signal: AbortSignal,
): Promise<CheckResult[]> {
  if (recipients.length === 0) return [];
  const id = 'encryption/recipients';
  try {
    await capture(ageEncrypt(recipients), { signal, timeoutMs: TIMEOUT_MS });
  } catch (error) {
    return [{ id, status: 'failed', ...told(encryptionError(error)) }];
  }
  const noun = recipients.length === 1 ? 'recipient' : 'recipients';
  const message = `backups are encrypted with age to ${recipients.length} ${noun}`;
  return [{ id, status: 'ok', message }];
}

/** Whether age can use the identity, and whether others may read its file. */
export async function identityChecks(
  identity: AgeIdentity | undefined,
  signal: AbortSignal,
): Promise<CheckResult[]> {
  if (!identity) return [];
  const id = 'encryption/identity';
  try {
    const program = { ...ageEncrypt([]), args: ['--encrypt', '-i', '-', '/dev/null'] };
    const options = { signal, timeoutMs: TIMEOUT_MS, feed: feedIdentity(identity) };
    await capture(program, options);
  } catch (error) {
    return [{ id, status: 'failed', ...told(decryptionError(error)) }];
  }
  if (identity.path && (await isOpenToOthers(identity.path))) {
    return [
      {
        id,
        status: 'warning',
        message: `every user of the machine may read the age identity ${identity.path}`,
        hint: 'give it to the user of PUID, and chmod 600 it.',
      },
    ];
  }
  return [{ id, status: 'ok', message: 'the age identity can be used' }];
}

function told(error: unknown): Pick<CheckResult, 'message' | 'hint'> {
  const { message, hint } = errorReport(error);
  return { message, hint };
}

async function isOpenToOthers(path: string): Promise<boolean> {
  return await stat(path).then(
    ({ mode }) => (mode & 0o004) !== 0,
    () => false,
  );
}
