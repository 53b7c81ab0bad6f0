import type { S3Config } from '../../config/config.ts';
import { DropbackError, messageOf } from '../../runtime/errors.ts';
import { Redactor } from '../../runtime/redact.ts';

/** What can be told of an SDK's error, whichever of its layers it comes from. */
interface S3Failure {
  /** S3's code or Node's, for example `SlowDown`, `ECONNRESET`. */
  readonly code: string;
  readonly status: number | undefined;
  readonly message: string;
  readonly region: string | undefined;
}

/** S3's own code of an error that `toStoreError` made; for callers that know what to do about it. */
export function s3CodeOf(error: unknown): string | undefined {
  return error instanceof DropbackError ? (error.facts['s3'] as string | undefined) : undefined;
}

export function statusOf(error: unknown): number | undefined {
  return error instanceof DropbackError ? (error.facts['status'] as number | undefined) : undefined;
}

/** 404 for an object or an upload (a missing bucket has a code of its own). */
export function isMissing(error: unknown): boolean {
  return statusOf(error) === 404 && !isNoBucket(error);
}

function isNoBucket(error: unknown): boolean {
  return error instanceof DropbackError && error.code === 'store/no-bucket';
}

/** If-None-Match found something there. */
export function isPreconditionFailed(error: unknown): boolean {
  return statusOf(error) === 412;
}

/** The endpoint says that it doesn't know this header or operation. */
export function isNotImplemented(error: unknown): boolean {
  return statusOf(error) === 501 || s3CodeOf(error) === 'NotImplemented';
}

/** Turns whatever an S3 call threw into one of the seam's errors. `what` is for the message. */
export function toStoreError(error: unknown, what: string, config: S3Config): DropbackError {
  if (error instanceof DropbackError) return error;
  const failure = describe(error);
  const { code, retryable, hint } = judge(failure, config);
  // The SDK's word where S3 gave no message.
  const silent = failure.message === failure.code || failure.message === 'UnknownError';
  const said = silent ? '' : `: ${failure.message}`;
  // Some endpoints, and proxies before them, repeat the request that they refuse. What they say is told
  // in places that know no secrets, as /status.
  const redactor = new Redactor(Object.values(config.credentials ?? {}));
  return new DropbackError(
    code,
    redactor.line(unsigned(`${what} failed with ${failure.code}${said}`), 1000),
    {
      hint,
      retryable,
      facts: {
        s3: redactor.line(failure.code, 100),
        ...(failure.status === undefined ? {} : { status: failure.status }),
        bucket: config.bucket,
        ...(config.endpoint === undefined ? {} : { endpoint: config.endpoint }),
      },
      cause: error,
    },
  );
}

/** Keys that AWS's own chain found are in no configuration: what is signed is known by its name alone. */
function unsigned(text: string): string {
  return text.replace(
    /((?:Credential|Signature|Security[-_]?Token|AccessKeyId)["']?(?:\s*[=:>]\s*|%3D)["']?)[^\s,;&"'<>]+/gi,
    '$1***',
  );
}

function describe(error: unknown): S3Failure {
  const { name, Code, code, $metadata, $response, Region, errors } = (error ?? {}) as {
    name?: string;
    Code?: string;
    code?: unknown;
    $metadata?: { httpStatusCode?: number };
    $response?: { headers?: Record<string, string>; statusCode?: number };
    Region?: string;
    errors?: unknown[];
  };
  // Node tries every address of a name and wraps what they said.
  const inner = errors?.[0] as { code?: unknown } | undefined;
  const system = [code, inner?.code].find((one) => typeof one === 'string') as string | undefined;
  const status = $metadata?.httpStatusCode ?? $response?.statusCode;
  return {
    code: Code ?? system ?? (name && name !== 'Error' ? name : `HTTP ${status ?? 'failure'}`),
    status,
    message: messageOf(inner ?? error),
    region: Region ?? $response?.headers?.['x-amz-bucket-region'],
  };
}

interface Judgement {
  readonly code: string;
  readonly retryable: boolean;
  readonly hint: string;
}

const TRANSIENT = new Set([
  ...['SlowDown', 'Throttling', 'ThrottlingException', 'TooManyRequests', 'RequestLimitExceeded'],
  ...['InternalError', 'ServiceUnavailable', 'RequestTimeout', 'OperationAborted'],
  ...['ConditionalRequestConflict', 'IncompleteBody', 'TimeoutError'],
]);
const NETWORK =
  /^(?:ECONN|EPIPE|ETIMEDOUT|EHOSTUN|ENETUN|ENETDOWN|EHOSTDOWN|EADDRNOTAVAIL|UND_ERR)/;
const TLS = /^(?:CERT_|ERR_TLS|ERR_SSL|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|HOSTNAME_MISMATCH|EPROTO)/;

/** Ceph, MinIO and others that have a quota or a disk; AWS itself has neither. */
const FULL = /^(?:QuotaExceeded|InsufficientCapacity|XMinio\w*(?:StorageFull|QuotaExceeded))$/;

function judge(failure: S3Failure, config: S3Config): Judgement {
  const { code, status } = failure;
  const where = config.endpoint ?? `AWS in ${config.region}`;
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    return unreachable(`the host name of ${where} is not known: check S3_ENDPOINT and DNS.`);
  }
  if (TLS.test(code)) {
    return refused(`TLS with ${where} failed: check its certificate, or set NODE_EXTRA_CA_CERTS.`);
  }
  if (NETWORK.test(code)) {
    return unreachable(`${where} does not answer: check S3_ENDPOINT, the network and firewalls.`);
  }
  if (code === 'BadDigest' || code === 'XAmzContentSHA256Mismatch') {
    return {
      code: 'store/corrupt',
      retryable: true,
      hint: 'bytes changed on the way: look at proxies in between, and at the memory of both ends.',
    };
  }
  if (code === 'NoSuchBucket') {
    return {
      code: 'store/no-bucket',
      retryable: false,
      hint: `create the bucket ${config.bucket}, or correct S3_BUCKET, S3_ENDPOINT or S3_REGION.`,
    };
  }
  if (status === 507 || FULL.test(code)) {
    return { code: 'store/full', retryable: false, hint: fullHint(config) };
  }
  const known = knownRefusal(failure, config);
  if (known) return refused(known);
  if (status === 404) {
    return { code: 'store/not-found', retryable: false, hint: 'someone else may have deleted it.' };
  }
  if (status === 412) {
    return { code: 'store/exists', retryable: false, hint: 'nothing was overwritten.' };
  }
  if (TRANSIENT.has(code) || status === 429 || (status !== undefined && isServerFault(status))) {
    return unreachable(`${where} is overloaded or down; it is tried again.`);
  }
  // An answer that cannot be read, or a connection that ended in the middle of one.
  if (status === undefined || status < 300) {
    return unreachable(`${where} gave no usable answer; a proxy in between may have.`);
  }
  return refused(`${where} refused it; its message above says why.`);
}

function fullHint({ bucket, prune }: S3Config): string {
  const make = `make room for ${bucket} there, or raise its quota`;
  return prune ? `${make}; or lower S3_KEEP_*, and retention makes it.` : `${make}.`;
}

function isServerFault(status: number): boolean {
  return status >= 500 && status !== 501;
}

function knownRefusal(failure: S3Failure, config: S3Config): string | undefined {
  switch (failure.code) {
    case 'RequestTimeTooSkewed':
      return 'the clock of this machine is wrong: set it, best by NTP.';
    case 'InvalidAccessKeyId':
    case 'SignatureDoesNotMatch':
      return 'check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, also for blanks around them.';
    case 'ExpiredToken':
    case 'InvalidToken':
    case 'TokenRefreshRequired':
      return 'the session token has expired: renew it, or use keys that do not expire.';
    case 'CredentialsProviderError':
      return 'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role.';
    case 'InvalidObjectState':
      return 'the object lies in an archive tier: restore it in S3 first, then try again.';
    case 'PermanentRedirect':
    case 'AuthorizationHeaderMalformed':
    case 'IllegalLocationConstraintException':
      return failure.region === undefined
        ? `the bucket ${config.bucket} is in another region: set S3_REGION to it.`
        : `the bucket ${config.bucket} is in ${failure.region}: set S3_REGION=${failure.region}.`;
  }
  if (failure.status === 301 || failure.status === 307) {
    const region = failure.region ?? 'that of the bucket';
    return `the bucket ${config.bucket} is in another region: set S3_REGION to ${region}.`;
  }
  if (failure.status === 401 || failure.status === 403) {
    return (
      `the credentials need s3:ListBucket and s3:ListBucketMultipartUploads on ${config.bucket}, ` +
      's3:PutObject, s3:GetObject, s3:AbortMultipartUpload and (to prune) s3:DeleteObject in it.'
    );
  }
  return undefined;
}

function unreachable(hint: string): Judgement {
  return { code: 'store/unreachable', retryable: true, hint };
}

function refused(hint: string): Judgement {
  return { code: 'store/refused', retryable: false, hint };
}
