import { postgresImage } from '../../test/support/testbed/images.mjs';
import { ensureTestbed } from '../../test/support/testbed/up.mjs';
import { type TestS3, testbed } from '../../test/support/testbed.ts';
import { installedPrograms } from './postgres-installed.ts';

/** What is on this machine to measure with; what is missing is left out of the results. */
export interface Parts {
  readonly docker: { readonly host: string } | undefined;
  readonly s3: TestS3 | undefined;
  readonly postgres: PostgresParts | undefined;
}

export interface PostgresParts {
  /** Of the server that the benchmark starts; without one it starts what is installed. */
  readonly image?: string;
  /** Folder of client programs of the server's version. */
  readonly binDir: string;
}

/** The test bed's, which is brought up unless DROPBACK_TESTBED names the record of one. */
export async function findParts(say: (line: string) => void): Promise<Parts> {
  const { docker, s3, binDir } = process.env['DROPBACK_TESTBED']
    ? { ...testbed, binDir: testbed.postgres18?.binDir }
    : await bringUp(say);
  if (docker && binDir) return { docker, s3, postgres: { image: postgresImage, binDir } };
  const installed = installedPrograms();
  return { docker, s3, postgres: installed ? { binDir: installed } : undefined };
}

interface BroughtUp {
  readonly docker?: { readonly host: string };
  readonly clients18?: { readonly binDir: string };
  readonly s3?: TestS3;
}

/** Not its servers: the benchmark has one of its own. */
async function bringUp(say: (line: string) => void) {
  const want = ['tools', 'docker', 'images', 'clients18', 's3'];
  const { docker, clients18, s3 } = (await ensureTestbed({ want, log: say })) as BroughtUp;
  return { docker, s3, binDir: clients18?.binDir };
}
