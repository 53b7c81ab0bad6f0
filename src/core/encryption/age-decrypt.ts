import type { FileHandle } from 'node:fs/promises';
import { DropbackError, toDropbackError } from '../runtime/errors.ts';
import { diskError } from '../runtime/process/disk-full.ts';
import { requireProgram } from '../runtime/process/find-program.ts';
import type { PipelineOptions } from '../runtime/process/pipeline.ts';
import type { Program } from '../runtime/process/program.ts';
import { type AgeHeader, readAgeHeader } from './age-header.ts';
import type { AgeIdentity } from './identity.ts';

/**
 * Decrypts an open file to standard output; the identity comes over standard input, so that it is
 * in no argument and in no file. It authenticates every chunk before it prints it: what was printed
 * when it fails is genuine, but not the whole.
 */
export function ageDecrypt(file: FileHandle): Program {
  const args = ['--decrypt', '--identity', '-', '/dev/fd/3'];
  return { name: 'age', file: requireProgram('age'), args, files: [file.fd] };
}

export function feedIdentity({ text }: AgeIdentity): NonNullable<PipelineOptions['feed']> {
  return async (stdin) => {
    stdin.end(text);
  };
}

/**
 * Whether this file can be opened with what there is, as far as its header tells. Throws
 * `drop/no-identity`, `drop/passphrase`, and what `readAgeHeader` throws.
 */
export async function requireIdentity(
  identity: AgeIdentity | undefined,
  file: FileHandle,
): Promise<AgeIdentity> {
  const header = await readAgeHeader(file);
  if (header.kinds.includes('scrypt')) {
    throw new DropbackError('drop/passphrase', 'the file is encrypted with a passphrase', {
      hint: 'nobody is here to type it: decrypt it first (age -d), or encrypt it to a recipient (age -r).',
    });
  }
  if (identity) return identity;
  throw new DropbackError(
    'drop/no-identity',
    `the file is encrypted with age (${describeRecipients(header)}), and there is no identity here`,
    {
      hint: 'set RESTORE_AGE_IDENTITY of db-restore to the file of the key, or decrypt the dump before you drop it.',
      facts: { recipients: header.recipients },
    },
  );
}

export function describeRecipients({ recipients, kinds }: AgeHeader): string {
  const noun = recipients === 1 ? 'recipient' : 'recipients';
  return `${recipients} ${noun}, ${kinds.join(', ')}`;
}

/** What age says of its identity file, which is its standard input. */
const OF_THE_IDENTITY = /^age: error: reading "-":/m;

/** What age 1.1 to 1.3 say of a file that isn't what was encrypted, or ends too early. */
const OF_THE_FILE =
  /failed to (read|parse) header|parsing age header|invalid header|bad header MAC|invalid \S+ recipient|failed to (parse|decrypt) (\S+ recipient|file key)|failed to read nonce|payload chunk|last chunk|unexpected EOF|invalid armor|trailing data/;

/**
 * What a failed age means: `drop/wrong-identity`, `drop/no-identity`, `drop/corrupt` (age can't tell a
 * cut file from a damaged one), `disk/*`, or the error as it was. Only what age is known to say of a
 * damaged file is taken for damage.
 */
export function decryptionError(error: unknown): DropbackError {
  const known = toDropbackError(diskError(error, 'the volume of the drop folder'));
  if (known.code !== 'tool/failed' || known.facts['program'] !== 'age') return known;
  const { stderr } = known.facts;
  const said = Array.isArray(stderr) ? stderr.join('\n') : '';
  const line = /^age: error: (.*)$/m.exec(said)?.[1] ?? known.message;
  if (/no identity matched/.test(said)) {
    return new DropbackError(
      'drop/wrong-identity',
      'the file is encrypted to other recipients than that of RESTORE_AGE_IDENTITY, or its header is damaged',
      {
        hint: 'set RESTORE_AGE_IDENTITY to the key of one of its recipients; the manifest of a backup names them. Where that is the right one, compare the checksum of the file with the original.',
        cause: error,
      },
    );
  }
  if (OF_THE_IDENTITY.test(said)) {
    return new DropbackError('drop/no-identity', `age can't use RESTORE_AGE_IDENTITY: ${line}`, {
      hint: 'set it to the file that age-keygen wrote; `dropback doctor` tells when it is right.',
      cause: error,
    });
  }
  if (!OF_THE_FILE.test(said)) return known;
  return new DropbackError(
    'drop/corrupt',
    `the encrypted data are damaged or end too early: ${line}`,
    {
      hint: 'compare its checksum with the original, and copy it again.',
      facts: { said },
      cause: error,
    },
  );
}
