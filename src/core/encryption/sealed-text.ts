import { open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { capture } from '../runtime/process/pipeline.ts';
import { ageDecrypt, decryptionError, feedIdentity } from './age-decrypt.ts';
import { ageEncrypt, encryptionError } from './age-encrypt.ts';
import type { AgeIdentity } from './identity.ts';

const SEAL_TIMEOUT_MS = 60_000;

/** A text, encrypted to all of them, as age's own text format. Throws `backup/not-encrypted`. */
export async function sealText(
  text: string,
  recipients: readonly string[],
  signal: AbortSignal,
): Promise<string> {
  const { args, ...age } = ageEncrypt(recipients);
  const feed = async (stdin: NodeJS.WritableStream) => {
    stdin.end(text);
  };
  return await capture(
    { ...age, args: [...args, '--armor'] },
    { signal, timeoutMs: SEAL_TIMEOUT_MS, feed },
  ).catch((error: unknown) => {
    throw encryptionError(error);
  });
}

/** What `sealText` was given. What lies in `workFolder` meanwhile is the encrypted text. */
export async function openSealedText(
  sealed: string,
  identity: AgeIdentity,
  workFolder: string,
  signal: AbortSignal,
): Promise<string> {
  const path = join(workFolder, 'sealed.age');
  await writeFile(path, sealed, { mode: 0o600 });
  try {
    await using file = await open(path, 'r');
    const feed = feedIdentity(identity);
    return await capture(ageDecrypt(file), { signal, timeoutMs: SEAL_TIMEOUT_MS, feed });
  } catch (error) {
    throw decryptionError(error);
  } finally {
    await rm(path, { force: true });
  }
}
