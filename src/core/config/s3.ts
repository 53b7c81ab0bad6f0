import type { S3Config, S3Credentials } from './config.ts';
import type { Environment } from './environment.ts';
import { read, readIfSet } from './reader.ts';
import { boolean, choice, integer, matching, size, value } from './values.ts';
import { variableNames } from './variables.ts';

const bucketName = matching(
  /^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$/,
  'must be the name of a bucket',
  'write the bare name, 3 to 63 letters, digits, dots and hyphens; a folder goes into S3_PREFIX, an address into S3_ENDPOINT.',
);

const prefix = value<string>((text) => {
  const bare = text.trim().replace(/^\/+|\/+$/g, '');
  const wrong = bare.split('/').some((part) => part === '.' || part === '..' || part === '');
  if (bare === '' || (!wrong && bare.length <= 500 && !/\p{Cc}/u.test(bare))) return { ok: bare };
  return {
    message: 'must be a folder in the bucket',
    hint: 'write names joined by single slashes, for example backups/production.',
  };
});

const endpoint = value<string>((text) => {
  const refusal = {
    message: 'must be an http:// or https:// address',
    hint: 'write https://host or http://host:port, without user, bucket or query.',
  };
  const url = URL.parse(text.trim());
  if (!url || !['http:', 'https:'].includes(url.protocol)) return refusal;
  if (url.username || url.password || url.search || url.hash) return refusal;
  return { ok: url.href.replace(/\/+$/, '') };
});

const word = matching(
  /^[A-Za-z0-9-]{1,64}$/,
  'must be the name of a region',
  'write for example eu-central-1.',
);
const storageClass = matching(
  /^[A-Z0-9_]{1,64}$/,
  'must be a storage class',
  'write for example STANDARD_IA.',
);

const keyId = matching(
  /^[A-Za-z0-9:/_-]{1,2048}$/,
  'must be a key of KMS',
  'write its id, its ARN, or alias/NAME.',
);

/** Undefined where S3_BUCKET isn't set; what is set besides it is then a warning. */
export function readS3(environment: Environment): S3Config | undefined {
  if (environment.get('S3_BUCKET') === undefined) {
    const idle = variableNames.filter((name) => name.startsWith('S3_') && environment.get(name));
    if (idle.length > 0) {
      environment.warn(
        `${idle.join(', ')} ${idle.length > 1 ? 'have' : 'has'} no effect: S3_BUCKET is not set, nothing is uploaded`,
      );
    }
    return undefined;
  }
  const url = readIfSet(environment, 'S3_ENDPOINT', endpoint);
  const storage = readIfSet(environment, 'S3_STORAGE_CLASS', storageClass);
  if (storage === 'GLACIER' || storage === 'DEEP_ARCHIVE') {
    environment.warn(`S3_STORAGE_CLASS ${storage}: such a backup takes hours to become readable`);
  }
  const encryption = readIfSet(environment, 'S3_SSE', choice('AES256', 'aws:kms', 'aws:kms:dsse'));
  const kmsKeyId = readIfSet(environment, 'S3_SSE_KMS_KEY_ID', keyId);
  if (kmsKeyId !== undefined && !encryption?.startsWith('aws:kms')) {
    const hint = 'set S3_SSE=aws:kms (or aws:kms:dsse), or leave the key out.';
    environment.problem('S3_SSE_KMS_KEY_ID', 'is set, though S3_SSE is not a KMS one', hint);
  }
  const objectLock = readObjectLock(environment);
  // Below that a part takes longer than endpoints wait for one.
  const most = readIfSet(environment, 'S3_UPLOAD_LIMIT', size(16_000, 'bytes per second'));
  const credentials = readCredentials(environment);
  return {
    bucket: readIfSet(environment, 'S3_BUCKET', bucketName) ?? '',
    prefix: readIfSet(environment, 'S3_PREFIX', prefix) ?? '',
    ...(url === undefined ? {} : { endpoint: url }),
    region:
      readIfSet(environment, 'S3_REGION', word) ??
      readIfSet(environment, 'AWS_REGION', word) ??
      'us-east-1',
    forcePathStyle: readIfSet(environment, 'S3_FORCE_PATH_STYLE', boolean) ?? url !== undefined,
    ...(storage === undefined ? {} : { storageClass: storage }),
    ...(encryption === undefined ? {} : { serverSideEncryption: encryption }),
    ...(kmsKeyId === undefined ? {} : { kmsKeyId }),
    ...(objectLock === undefined ? {} : { objectLock }),
    ...(most === undefined ? {} : { uploadBytesPerSecond: most }),
    prune: read(environment, 'S3_PRUNE', boolean),
    ...(credentials === undefined ? {} : { credentials }),
  };
}

function readObjectLock(environment: Environment): S3Config['objectLock'] {
  const mode = readIfSet(environment, 'S3_OBJECT_LOCK_MODE', choice('GOVERNANCE', 'COMPLIANCE'));
  const days = readIfSet(environment, 'S3_OBJECT_LOCK_DAYS', integer(1, 36_500, 'days'));
  bothOrNone(environment, 'S3_OBJECT_LOCK_MODE', 'S3_OBJECT_LOCK_DAYS');
  return mode === undefined || days === undefined ? undefined : { mode, days };
}

function readCredentials(environment: Environment): S3Credentials | undefined {
  bothOrNone(environment, 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY');
  const accessKeyId = environment.get('AWS_ACCESS_KEY_ID')?.trim();
  const secretAccessKey = environment.get('AWS_SECRET_ACCESS_KEY')?.trim();
  const sessionToken = environment.get('AWS_SESSION_TOKEN')?.trim();
  if (!accessKeyId || !secretAccessKey) return undefined;
  return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) };
}

type Pair =
  | readonly ['S3_OBJECT_LOCK_MODE', 'S3_OBJECT_LOCK_DAYS']
  | readonly ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'];

function bothOrNone(environment: Environment, ...[one, other]: Pair): void {
  const isSet = environment.get(one) !== undefined;
  if (isSet === (environment.get(other) !== undefined)) return;
  const [set, missing] = isSet ? [one, other] : [other, one];
  environment.problem(missing, `is not set, though ${set} is`, 'set both or none.');
}
