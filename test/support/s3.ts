import { randomBytes } from 'node:crypto';
import {
  DeleteObjectCommand,
  DeleteObjectsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import type { S3Config } from '../../src/core/config/config.ts';
import { type TestS3, testbed } from './testbed.ts';

/** A prefix of its own in the test bed's bucket, and hands that reach past the store. */
export class TestPrefix implements AsyncDisposable {
  readonly prefix = `test-${randomBytes(6).toString('hex')}`;
  readonly client: S3Client;
  readonly #s3: TestS3;

  constructor(s3: TestS3 | undefined = testbed.s3) {
    if (!s3) throw new Error('the test bed has no S3 endpoint');
    this.#s3 = s3;
    this.client = new S3Client({
      endpoint: s3.endpoint,
      region: s3.region,
      forcePathStyle: true,
      credentials: { accessKeyId: s3.accessKeyId, secretAccessKey: s3.secretAccessKey },
    });
  }

  get bucket(): string {
    return this.#s3.bucket;
  }

  config(changes: Partial<S3Config> = {}): S3Config {
    const { endpoint, region, bucket, accessKeyId, secretAccessKey } = this.#s3;
    return {
      ...{ endpoint, region, bucket, prefix: this.prefix, forcePathStyle: true, prune: true },
      credentials: { accessKeyId, secretAccessKey },
      ...changes,
    };
  }

  /** The key of a file of the database `app`. */
  key(file: string): string {
    return `${this.prefix}/app/${file}`;
  }

  async put(file: string, content: Uint8Array): Promise<void> {
    const input = { Bucket: this.bucket, Key: this.key(file), Body: content };
    await this.client.send(new PutObjectCommand(input));
  }

  async drop(file: string): Promise<void> {
    await this.client.send(new DeleteObjectCommand({ Bucket: this.bucket, Key: this.key(file) }));
  }

  /** Names of all files of the database `app`, sorted. */
  async files(): Promise<string[]> {
    const names: string[] = [];
    let token: string | undefined;
    do {
      const page = await this.client.send(
        new ListObjectsV2Command({
          Bucket: this.bucket,
          Prefix: this.key(''),
          ...(token === undefined ? {} : { ContinuationToken: token }),
        }),
      );
      for (const { Key } of page.Contents ?? []) names.push((Key ?? '').slice(this.key('').length));
      token = page.NextContinuationToken;
    } while (token !== undefined);
    return names.sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const keys = (await this.files()).map((file) => ({ Key: this.key(file) }));
    for (let at = 0; at < keys.length; at += 1000) {
      const Delete = { Objects: keys.slice(at, at + 1000), Quiet: true };
      await this.client.send(new DeleteObjectsCommand({ Bucket: this.bucket, Delete }));
    }
    this.client.destroy();
  }
}
