/**
 * A real S3 endpoint: Ceph's RADOS Gateway with a one-disk cluster behind it, in a container,
 * on a loopback port. (Debian's rclone is built without `serve s3`.)
 */
import { randomBytes } from 'node:crypto';
import { docker, publishedHost } from './docker-engine.mjs';
import { s3Image } from './images.mjs';
import { freePort, until } from './processes.mjs';
import { s3Request } from './s3-request.mjs';
import { readRecord, record } from './state.mjs';

const BUCKET = 'dropback-test';
const NAME = `dropback-testbed-s3-${process.getuid?.() ?? 0}`;

/**
 * @returns {Promise<{line: string, value: {endpoint: string, accessKeyId: string, secretAccessKey: string,
 *   region: string, bucket: string, container?: string, containerId?: string, volume?: string}}>}
 *   TEST_S3_ENDPOINT takes precedence, with AWS_* for its keys and TEST_S3_BUCKET
 */
export async function ensureS3() {
  if (process.env.TEST_S3_ENDPOINT) return fromEnvironment();
  const before = readRecord().s3;
  if (before?.containerId && (await revive(before))) return ready(before, 'already up');
  await docker(['rm', '-f', '-v', NAME], { check: false });
  await docker(['volume', 'rm', '-f', NAME], { check: false });
  const value = await create();
  record('s3', value);
  if (!(await until(() => hasBucket(value), 90_000, 300))) {
    throw new Error(`no answer on ${value.endpoint}, see docker logs ${NAME}`);
  }
  return ready(value, 'ready');
}

async function create() {
  const host = publishedHost();
  const port = await freePort();
  const accessKeyId = `test${randomBytes(8).toString('hex')}`;
  const secretAccessKey = randomBytes(20).toString('hex');
  const publish = `${host === '127.0.0.1' ? '127.0.0.1:' : ''}${port}:7480`;
  const options = ['--name', NAME, '--hostname', 's3', '-p', publish, '-v', `${NAME}:/srv/ceph`];
  const env = { S3_ACCESS_KEY: accessKeyId, S3_SECRET_KEY: secretAccessKey };
  const flags = Object.keys(env).flatMap((name) => ['-e', name]);
  const args = [
    'run',
    '-d',
    '--init',
    '--label',
    'dropback.testbed=1',
    ...options,
    ...flags,
    s3Image,
  ];
  const containerId = (await docker(args, { env })).stdout.trim();
  return {
    ...{
      endpoint: `http://${host}:${port}`,
      accessKeyId,
      secretAccessKey,
      region: 'us-east-1',
      bucket: BUCKET,
    },
    ...{ container: NAME, containerId, volume: NAME },
  };
}

/** Uses the recorded container again, started if it stands still. */
async function revive(before) {
  const { code, stdout } = await docker(
    ['inspect', '--format', '{{.State.Running}}', before.containerId],
    { check: false },
  );
  if (code !== 0) return false;
  if (
    stdout.trim() !== 'true' &&
    (await docker(['start', before.containerId], { check: false })).code !== 0
  )
    return false;
  return until(() => hasBucket(before), 40_000, 300);
}

/** Whether the endpoint answers and the bucket is there; it is created if it isn't. */
async function hasBucket(target) {
  try {
    const found = await s3Request(target, 'HEAD', `/${target.bucket}`);
    if (found.status === 200) return true;
    return (
      found.status === 404 && (await s3Request(target, 'PUT', `/${target.bucket}`)).status === 200
    );
  } catch {
    return false;
  }
}

function ready(value, word) {
  return { line: `${word} on ${value.endpoint} (container ${value.container})`, value };
}

async function fromEnvironment() {
  const {
    TEST_S3_ENDPOINT: endpoint,
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
  } = process.env;
  if (!accessKeyId || !secretAccessKey) {
    throw new Error('TEST_S3_ENDPOINT is set without AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY');
  }
  const { AWS_REGION: region = 'us-east-1', TEST_S3_BUCKET: bucket = BUCKET } = process.env;
  const value = { endpoint, accessKeyId, secretAccessKey, region, bucket };
  if (!(await hasBucket(value))) {
    throw new Error(
      `${endpoint} (TEST_S3_ENDPOINT) has no bucket ${bucket} for these keys, and lets none be created`,
    );
  }
  return { line: `using ${endpoint} (TEST_S3_ENDPOINT)`, value };
}
