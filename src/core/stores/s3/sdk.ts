import type { S3Client } from '@aws-sdk/client-s3';
import type { S3Config } from '../../config/config.ts';
import type { Pace } from './progress.ts';

export type Sdk = typeof import('@aws-sdk/client-s3');

export interface LoadedSdk {
  readonly sdk: Sdk;
  readonly client: S3Client;
}

export interface Timeouts {
  /** Milliseconds for DNS, TCP and TLS together. */
  readonly connectMs: number;
  /** Milliseconds without a byte in either direction. */
  readonly idleMs: number;
  /** Whoever is slower is given up, though it moves. */
  readonly pace: Pace;
}

/**
 * The SDK takes about 35 MB of memory, so it is loaded when the first call is made, not before.
 *
 * - `maxAttempts: 1`: it cannot send a stream a second time; retries are ours (`calls.ts`).
 * - Checksums `WHEN_REQUIRED`: the default adds CRC32 trailers and response checks that many
 *   compatible endpoints refuse or get wrong. Ours go in headers that every endpoint with Signature
 *   Version 4 knows: Content-MD5 and x-amz-content-sha256 (`verified-body.ts`).
 * - A logger that drops everything: the SDK would write to the console.
 */
export async function loadSdk(config: S3Config, timeouts: Timeouts): Promise<LoadedSdk> {
  const sdk = await import('@aws-sdk/client-s3');
  const silent = () => {};
  const client = new sdk.S3Client({
    region: config.region,
    forcePathStyle: config.forcePathStyle,
    ...(config.endpoint === undefined ? {} : { endpoint: config.endpoint }),
    // Without static keys the SDK's own chain looks for them.
    ...(config.credentials === undefined ? {} : { credentials: { ...config.credentials } }),
    maxAttempts: 1,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    logger: { trace: silent, debug: silent, info: silent, warn: silent, error: silent },
    requestHandler: {
      connectionTimeout: timeouts.connectMs,
      socketTimeout: timeouts.idleMs,
    },
  });
  return { sdk, client };
}
