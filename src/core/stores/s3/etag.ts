import { createHash } from 'node:crypto';
import { DropbackError } from '../../runtime/errors.ts';

/** What a response says of an object or a part. */
export interface Received {
  readonly ETag?: string | undefined;
  readonly ServerSideEncryption?: string | undefined;
}

/** The ETag of what was put in one piece: its MD5, hex. */
export function plainEtag(md5: Buffer): string {
  return md5.toString('hex');
}

/** The ETag of a multipart upload: MD5 of the parts' MD5s, and their number. */
export function multipartEtag(md5s: readonly Buffer[]): string {
  return `${createHash('md5').update(Buffer.concat(md5s)).digest('hex')}-${md5s.length}`;
}

/**
 * Whether an ETag is the expected one. `unknown` where it isn't made of MD5s: under KMS keys, and
 * where an endpoint makes up its own form; Content-MD5 and the signed sha256 stand alone then.
 */
export function compareEtag(
  received: Received,
  expected: string,
): 'same' | 'different' | 'unknown' {
  const etag = received.ETag?.replaceAll('"', '').toLowerCase();
  if (etag === expected) return 'same';
  if (etag === undefined || received.ServerSideEncryption?.startsWith('aws:kms')) return 'unknown';
  const form = expected.replace(/^[0-9a-f]{32}/, '');
  return /^[0-9a-f]{32}/.test(etag) && etag.slice(32) === form ? 'different' : 'unknown';
}

/** Throws `store/corrupt` (retryable: sending it again may help) for a different ETag. */
export function requireEtag(received: Received, expected: string, what: string): void {
  if (compareEtag(received, expected) !== 'different') return;
  throw new DropbackError('store/corrupt', `${what} was received as something else than was sent`, {
    hint: 'bytes changed on the way: look at proxies in between, and at the memory of both ends.',
    retryable: true,
    facts: { expected, received: received.ETag ?? null },
  });
}
