import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A PostgreSQL server of the test bed; `url` is its superuser's. */
export interface TestServer {
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly password: string;
  readonly version: string;
  readonly major: number;
  readonly binDir: string;
  readonly dataDir?: string;
  readonly container?: string;
}

export interface TestS3 {
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
  readonly bucket: string;
  /** Where the test bed started it itself. */
  readonly container?: string;
}

/** What `npm test` has started, or what an earlier run left running. */
export interface Testbed {
  readonly postgres15?: TestServer;
  readonly postgres18?: TestServer;
  readonly s3?: TestS3;
  readonly docker?: { readonly host: string };
}

/** Parts that are missing make their tests skip; `.ci/run` allows no skipped test. */
export const testbed: Testbed = readTestbed();

/** The servers that there are, for `describe.each`. */
export const servers: readonly TestServer[] = [testbed.postgres15, testbed.postgres18].filter(
  (server) => server !== undefined,
);

function readTestbed(): Testbed {
  const given = process.env['DROPBACK_TESTBED'];
  const folder = join(tmpdir(), `dropback-testbed-${process.getuid?.() ?? 0}`);
  try {
    return JSON.parse(readFileSync(given ?? join(folder, 'testbed.json'), 'utf8')) as Testbed;
  } catch {
    return {};
  }
}
