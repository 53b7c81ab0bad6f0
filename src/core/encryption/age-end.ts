import type { FileHandle } from 'node:fs/promises';
import { readAt } from '../archive/detect.ts';
import { requireProgram } from '../runtime/process/find-program.ts';
import { runPipeline } from '../runtime/process/pipeline.ts';
import { ageDecrypt, feedIdentity } from './age-decrypt.ts';
import { readAgeHeader } from './age-header.ts';
import type { AgeIdentity } from './identity.ts';

/** After the header: a nonce, then chunks of so many bytes, each with its tag. */
const NONCE_BYTES = 16;
const TAG_BYTES = 16;
const CHUNK_BYTES = 64 * 1024;
const ARMOR_END = /-----END AGE ENCRYPTED FILE-----\s*$/;

/**
 * Whether an age file looks as if its end were still to come. Without an identity only its size can
 * tell; with one it is decrypted whole: age refuses a cut file at its last chunk, where it refuses
 * one that was damaged there too. Throws as `readAgeHeader`.
 */
export async function ageEndsEarly(
  file: FileHandle,
  identity: AgeIdentity | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  const { size } = await file.stat();
  const { end, kinds } = await readAgeHeader(file);
  if (end === undefined) {
    const tail = await readAt(file, Math.max(0, size - 100), 100);
    return !ARMOR_END.test(tail.toString('latin1'));
  }
  const payload = size - end - NONCE_BYTES;
  const last = payload % (CHUNK_BYTES + TAG_BYTES);
  if (payload < TAG_BYTES || (last > 0 && last < TAG_BYTES)) return true;
  if (!identity || kinds.includes('scrypt')) return false;
  const good = await genuineBytes(file, identity, signal);
  if (good === undefined) return false;
  const chunks = Math.ceil(payload / (CHUNK_BYTES + TAG_BYTES));
  return Math.floor(good / CHUNK_BYTES) >= chunks - 1;
}

/** Bytes of content before the damage; undefined where there is none, or another reason to fail. */
async function genuineBytes(
  file: FileHandle,
  identity: AgeIdentity,
  signal: AbortSignal,
): Promise<number | undefined> {
  let printed = '';
  const count = { name: 'wc', file: requireProgram('wc', 'coreutils'), args: ['-c'] };
  const [age] = await runPipeline([{ ...ageDecrypt(file), successCodes: [0, 1] }, count], {
    signal,
    feed: feedIdentity(identity),
    consume: async (stdout) => {
      for await (const chunk of stdout) printed += String(chunk);
    },
  });
  const isCut = age?.stderr.some((line) => /payload chunk|unexpected EOF|nonce/.test(line));
  return age?.exitCode === 1 && isCut ? Number(printed) : undefined;
}
