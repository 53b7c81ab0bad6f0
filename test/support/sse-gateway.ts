import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { KeyService } from './key-service.ts';
import { type TestS3, testbed } from './testbed.ts';

const run = promisify(execFile);
export const KMS_KEY = 'dropback-test-key';
const START_MS = 60_000;

/**
 * A second gateway (radosgw) of the test bed's cluster, in the same container, which knows one key of
 * KMS, and where to get those of SSE-S3: what is stored through it may be encrypted.
 */
export class SseGateway implements AsyncDisposable {
  readonly s3: TestS3;
  readonly keys: KeyService;
  readonly #container: string;
  readonly #mark: string;

  private constructor(s3: TestS3, keys: KeyService, container: string, mark: string) {
    this.s3 = s3;
    this.keys = keys;
    this.#container = container;
    this.#mark = mark;
  }

  static async start(): Promise<SseGateway> {
    const { s3 } = testbed;
    if (!s3?.container) throw new Error('the test bed’s S3 endpoint is not its own');
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const mark = `/tmp/gateway-${randomBytes(6).toString('hex')}.pid`;
    const network = '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.Gateway}}{{end}}';
    const { stdout } = await run('docker', ['inspect', '-f', network, s3.container]);
    const [address = '', host = ''] = stdout.trim().split(' ');
    const keys = await KeyService.start(host);
    const options = [
      `--rgw-frontends=beast port=${port}`,
      '--rgw-crypt-require-ssl=false',
      '--rgw-crypt-s3-kms-backend=testing',
      `--rgw-crypt-s3-kms-encryption-keys=${KMS_KEY}=${randomBytes(32).toString('base64')}`,
      '--rgw-crypt-sse-s3-backend=vault',
      '--rgw-crypt-sse-s3-vault-secret-engine=transit',
      '--rgw-crypt-sse-s3-vault-auth=agent',
      `--rgw-crypt-sse-s3-vault-addr=${keys.url}`,
      '--rgw-crypt-sse-s3-vault-prefix=/v1/transit',
      '--log-file=/dev/null',
    ];
    const name = ['-n', 'client.admin', '--setuser', 'root', '--setgroup', 'root'];
    const script = `echo $$ >${mark}; export CEPH_CONF=/srv/ceph/ceph.conf; exec timeout -s KILL 900 radosgw -f "$@"`;
    const command = ['sh', '-c', script, 'gateway', ...name, ...options];
    await run('docker', ['exec', '-d', s3.container, ...command]);
    const endpoint = `http://${address}:${port}`;
    const gateway = new SseGateway({ ...s3, endpoint }, keys, s3.container, mark);
    try {
      await gateway.#answers();
      return gateway;
    } catch (error) {
      await gateway[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const script = `kill "$(cat ${this.#mark})"; rm -f ${this.#mark}`;
    await run('docker', ['exec', this.#container, 'sh', '-c', script]).catch(() => {});
    await this.keys[Symbol.asyncDispose]();
  }

  async #answers(): Promise<void> {
    const deadline = performance.now() + START_MS;
    for (;;) {
      try {
        await fetch(this.s3.endpoint, { signal: AbortSignal.timeout(5000) });
        return;
      } catch (error) {
        if (performance.now() > deadline) throw error;
        await delay(200);
      }
    }
  }
}
