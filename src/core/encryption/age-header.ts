import type { FileHandle } from 'node:fs/promises';
import { readAt } from '../archive/detect.ts';
import { DropbackError } from '../runtime/errors.ts';

/**
 * The header of an age file, as https://age-encryption.org/v1 describes it: who it is encrypted to.
 * Readable without an identity; what follows it is not.
 */
export interface AgeHeader {
  /** How many recipients. */
  readonly recipients: number;
  /** Kinds of recipients, for example `X25519`, `ssh-ed25519`, `scrypt` (a passphrase). */
  readonly kinds: readonly string[];
  /** Position of the first byte after the header; undefined for ASCII armour. */
  readonly end: number | undefined;
}

/** Room for some two thousand recipients; age itself would read a header of any size. */
const MOST_HEADER_BYTES = 256 * 1024;
const VERSION_LINE = 'age-encryption.org/v1\n';
const ARMOR = '-----BEGIN AGE ENCRYPTED FILE-----';

/** Throws `drop/truncated`, `drop/corrupt`, `drop/unsupported-format`. */
export async function readAgeHeader(file: FileHandle): Promise<AgeHeader> {
  const raw = await readAt(file, 0, MOST_HEADER_BYTES);
  const isArmored = raw.subarray(0, ARMOR.length).toString('latin1') === ARMOR;
  const head = (isArmored ? dearmored(raw) : raw).toString('latin1');
  if (!head.startsWith(VERSION_LINE)) {
    if (VERSION_LINE.startsWith(head)) throw truncated();
    throw new DropbackError('drop/unsupported-format', 'a version of age that is not known here', {
      hint: 'encrypt it with age 1.x.',
    });
  }
  const mac = /\n--- [A-Za-z0-9+/]{43}\n/.exec(head);
  if (!mac) {
    if (raw.length < MOST_HEADER_BYTES) throw truncated();
    throw new DropbackError('drop/corrupt', 'the header of the age file is larger than 256 KiB', {
      hint: 'no age file has so many recipients: encrypt the dump again.',
    });
  }
  const stanzas = head.slice(0, mac.index + 1).matchAll(/^-> (\S+)/gm);
  const kinds = [...stanzas].map(([, kind = '']) => kind);
  if (kinds.length === 0) throw damaged('the age file names no recipient');
  return {
    recipients: kinds.length,
    kinds: [...new Set(kinds)],
    end: isArmored ? undefined : mac.index + mac[0].length,
  };
}

function dearmored(raw: Buffer): Buffer {
  const lines = raw.toString('latin1').split(/\r?\n/).slice(1, -1);
  const body = lines.filter((line) => !line.startsWith('-----')).join('');
  return Buffer.from(body, 'base64');
}

function damaged(message: string): DropbackError {
  return new DropbackError('drop/corrupt', message, {
    hint: 'the file was damaged on its way: copy it again.',
  });
}

function truncated(): DropbackError {
  return new DropbackError('drop/truncated', 'the header of the age file ends too early', {
    hint: 'the file was not transferred whole, or its writer was interrupted: copy it again.',
  });
}
