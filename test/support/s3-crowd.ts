import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { formatArchiveId } from '../../src/core/archive/archive-name.ts';
import type { Manifest } from '../../src/core/archive/manifest.ts';
import { serialiseManifest } from '../../src/core/archive/manifest-file.ts';
import type { S3Config } from '../../src/core/config/config.ts';
import { sampleManifest } from './backups.ts';

const PAGE = 1000;
const FOLDER = 'prefix/app/';
const BYTES = 7;
const NO_UPLOADS =
  '<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>';

/**
 * An endpoint whose bucket holds more than any test could put there: keys are made up as they are
 * asked for. Lists and reads alone; own backups are an hour apart, the oldest first.
 */
export class S3Crowd implements AsyncDisposable {
  /** Each request: `list <prefix>` or `get <key>`. */
  readonly asked: string[] = [];
  readonly #server: Server;
  readonly #own: number;
  readonly #before: number;
  readonly #behind: number;

  private constructor(counts: { own: number; before: number; behind: number }) {
    this.#own = counts.own;
    this.#before = counts.before;
    this.#behind = counts.behind;
    this.#server = createServer((request, response) => this.#answer(request.url ?? '', response));
  }

  /** `before`, `behind`: keys of others in the database's own folder, in the order of names. */
  static async start(counts: { own: number; before: number; behind: number }): Promise<S3Crowd> {
    const crowd = new S3Crowd(counts);
    crowd.#server.listen(0, '127.0.0.1');
    await once(crowd.#server, 'listening');
    return crowd;
  }

  get config(): S3Config {
    const { port } = this.#server.address() as AddressInfo;
    return {
      endpoint: `http://127.0.0.1:${port}`,
      region: 'us-east-1',
      bucket: 'crowd',
      prefix: 'prefix',
      forcePathStyle: true,
      prune: true,
      credentials: { accessKeyId: 'key', secretAccessKey: 'secret' },
    };
  }

  static manifest(index: number): Manifest {
    const at = new Date(Date.UTC(2020, 0, 1) + index * 3_600_000);
    return sampleManifest(Buffer.alloc(BYTES), { at });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  #answer(url: string, response: ServerResponse): void {
    const { pathname, searchParams } = new URL(url, 'http://s3');
    if (searchParams.has('uploads')) xml(response, NO_UPLOADS);
    else if (searchParams.has('list-type')) this.#list(searchParams, response);
    else this.#get(decodeURIComponent(pathname.slice('/crowd/'.length)), response);
  }

  #get(key: string, response: ServerResponse): void {
    this.asked.push(`get ${key}`);
    const [, stamp] = /_(\d{8}T\d{6}Z)\.json$/.exec(key) ?? [];
    if (stamp === undefined) {
      response.writeHead(404).end();
      return;
    }
    const iso = stamp.replace(/(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z/, '$1-$2-$3T$4:$5:$6Z');
    const index = (Date.parse(iso) - Date.UTC(2020, 0, 1)) / 3_600_000;
    const body = serialiseManifest(S3Crowd.manifest(index));
    response.writeHead(200, { 'content-length': body.length }).end(body);
  }

  #list(query: URLSearchParams, response: ServerResponse): void {
    const prefix = query.get('prefix') ?? '';
    this.asked.push(`list ${prefix}`);
    const isOwnOnly = prefix.startsWith(`${FOLDER}app_`);
    const first = isOwnOnly ? this.#before : 0;
    const end = this.#before + 2 * this.#own + (isOwnOnly ? 0 : this.#behind);
    const from = Number(query.get('continuation-token') ?? first);
    const to = Math.min(end, from + PAGE);
    const contents = Array.from({ length: to - from }, (_, i) => this.#entry(from + i)).join('');
    const more = to < end;
    xml(
      response,
      `<ListBucketResult><Name>crowd</Name><Prefix>${prefix}</Prefix><KeyCount>${to - from}</KeyCount>` +
        `<MaxKeys>${PAGE}</MaxKeys><IsTruncated>${more}</IsTruncated>` +
        `${more ? `<NextContinuationToken>${to}</NextContinuationToken>` : ''}${contents}</ListBucketResult>`,
    );
  }

  #entry(position: number): string {
    const own = position - this.#before;
    const number = String(position).padStart(9, '0');
    if (own < 0) return contents(`${FOLDER}a-foreign-${number}.bin`, 1);
    if (own >= 2 * this.#own) return contents(`${FOLDER}z-foreign-${number}.bin`, 1);
    const id = formatArchiveId('app', new Date(Date.UTC(2020, 0, 1) + (own >> 1) * 3_600_000));
    return own % 2 === 0
      ? contents(`${FOLDER}${id}.dump.zst`, BYTES)
      : contents(`${FOLDER}${id}.json`, 1500);
  }
}

function contents(key: string, size: number): string {
  return `<Contents><Key>${key}</Key><LastModified>2026-11-23T00:00:00.000Z</LastModified><ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>${size}</Size><StorageClass>STANDARD</StorageClass></Contents>`;
}

function xml(response: ServerResponse, body: string): void {
  response.writeHead(200, { 'content-type': 'application/xml' });
  response.end(`<?xml version="1.0" encoding="UTF-8"?>${body}`);
}
