import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';

/** What a sealed JSON file turned out to be. */
export type Unsealed<T> =
  | { readonly kind: 'valid'; readonly generation: number; readonly body: T }
  | { readonly kind: 'missing' }
  | { readonly kind: 'empty' }
  /** Torn or damaged: not JSON, or the checksum differs. */
  | { readonly kind: 'damaged' }
  /** JSON, but not a file of this kind. */
  | { readonly kind: 'foreign' }
  /** Written by a newer version of this software. */
  | { readonly kind: 'newer'; readonly version: number };

export interface SealKind {
  readonly format: string;
  readonly version: number;
}

/** JSON with a generation number and a checksum over everything else. */
export function seal(kind: SealKind, generation: number, body: unknown): string {
  const content = { ...kind, generation, body };
  return `${JSON.stringify({ ...content, checksum: checksum(content) }, undefined, 1)}\n`;
}

export function unseal<T>(kind: SealKind, text: string): Unsealed<T> {
  if (text.trim() === '') return { kind: 'empty' };
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return { kind: 'damaged' };
  }
  if (typeof parsed !== 'object' || parsed === null) return { kind: 'foreign' };
  const { checksum: stated, ...content } = parsed as Record<string, unknown>;
  if (content['format'] !== kind.format) return { kind: 'foreign' };
  const version = content['version'];
  if (typeof version === 'number' && version > kind.version) return { kind: 'newer', version };
  const { generation } = content;
  if (stated !== checksum(content) || !Number.isSafeInteger(generation)) return { kind: 'damaged' };
  if (version !== kind.version) return { kind: 'foreign' };
  return { kind: 'valid', generation: generation as number, body: content['body'] as T };
}

export async function readSealed<T>(kind: SealKind, path: string): Promise<Unsealed<T>> {
  try {
    return unseal<T>(kind, await readFile(path, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { kind: 'missing' };
    throw error;
  }
}

function checksum(content: unknown): string {
  return createHash('sha256').update(JSON.stringify(content)).digest('hex');
}
