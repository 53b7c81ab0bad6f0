import { createHash } from 'node:crypto';
import { z } from 'zod';
import { DropbackError } from '../runtime/errors.ts';
import type { Manifest } from './manifest.ts';
import { manifestSchema } from './manifest-schema.ts';

/** A manifest of 100,000 tables is about 10 MB; what is larger than this isn't one. */
export const LARGEST_MANIFEST_BYTES = 64 * 1024 * 1024;

/**
 * The file ends in its own checksum: sha256 over the same file without that field, that is, over
 * every byte before `,\n  "checksum"` and `\n}\n`. Because it is defined on bytes, every changed
 * byte is found, white space included, in every version of the format.
 */
const CHECKSUM_TAIL = /^,\n {2}"checksum": "([0-9a-f]{64})"\n\}\n$/;
const TAIL_BYTES = ',\n  "checksum": "'.length + 64 + '"\n}\n'.length;

/**
 * The manifest's file: readable JSON, keys always in the same order, checksum last.
 * Throws `manifest/invalid` for a value that could not be read back.
 */
export function serialiseManifest(manifest: Manifest): Buffer {
  const checked = manifestSchema.safeParse(manifest);
  if (!checked.success) {
    throw new DropbackError('manifest/invalid', `not a manifest: ${problems(checked.error)}`, {
      hint: 'this is a bug in dropback: please report it with this message.',
      facts: { id: manifest.id },
      cause: checked.error,
    });
  }
  const body = JSON.stringify(checked.data, null, 2).slice(0, -'\n}'.length);
  return Buffer.from(`${body},\n  "checksum": "${checksumOf(Buffer.from(body))}"\n}\n`);
}

/**
 * Reads a manifest's file. `where` is for messages. Throws `manifest/corrupt` for every file that
 * isn't exactly as it was written, `manifest/version` for an intact one of another version.
 */
export function parseManifest(file: Uint8Array, where: string): Manifest {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  const body = bytes.subarray(0, Math.max(0, bytes.length - TAIL_BYTES));
  const [, checksum] = CHECKSUM_TAIL.exec(bytes.subarray(body.length).toString('latin1')) ?? [];
  if (checksum === undefined) throw corrupt(where, 'it does not end in a checksum');
  if (checksum !== checksumOf(body)) throw corrupt(where, 'its checksum differs');
  const value = parseJson(`${body.toString('utf8')}\n}`, where);
  requireKnownVersion(value, where);
  const checked = manifestSchema.safeParse(value);
  if (!checked.success) throw corrupt(where, problems(checked.error), checked.error);
  return checked.data;
}

/** Whether two manifests are one and the same backup, not merely of one id. */
export function isSameBackup(a: Manifest, b: Manifest | undefined): boolean {
  return b !== undefined && serialiseManifest(a).equals(serialiseManifest(b));
}

function checksumOf(body: Buffer): string {
  return createHash('sha256').update(body).update('\n}\n').digest('hex');
}

function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw corrupt(where, 'it is not JSON', error);
  }
}

function requireKnownVersion(value: unknown, where: string): void {
  const { format, version } = (value ?? {}) as { format?: unknown; version?: unknown };
  if (format !== 'dropback-manifest') throw corrupt(where, 'it is not a manifest of dropback');
  if (version === 1) return;
  throw new DropbackError(
    'manifest/version',
    `${where} has version ${JSON.stringify(version)}, this software reads version 1`,
    { hint: 'use the version of dropback that wrote it, or a newer one.', facts: { where } },
  );
}

function corrupt(where: string, why: string, cause?: unknown): DropbackError {
  return new DropbackError('manifest/corrupt', `${where} is damaged: ${why}`, {
    hint: 'the manifest was changed after it was written; compare with the copy in the other store.',
    facts: { where },
    cause,
  });
}

function problems(error: z.ZodError): string {
  return z
    .prettifyError(error)
    .replace(/\s*\n\s*/g, ' ')
    .slice(0, 500);
}
