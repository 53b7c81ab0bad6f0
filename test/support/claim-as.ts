// Looks at a dropped file and claims it, as whoever started this: prints what became of it.
import { lstat } from 'node:fs/promises';
import { errorReport } from '../../src/core/runtime/errors.ts';
import { noCheckpoint } from '../../src/restore/checkpoint.ts';
import { claimFile } from '../../src/restore/drop-folder/claim.ts';
import { looksTruncated } from '../../src/restore/drop-folder/completeness.ts';
import { signatureOf } from '../../src/restore/drop-folder/scan.ts';

const [path, workFolder] = process.argv.slice(2) as [string, string];
const { signal } = new AbortController();
const stats = await lstat(path, { bigint: true });
const [source, signature] = [Buffer.from(path), signatureOf(stats)];
const sighting = {
  key: '',
  path: source,
  rawName: source,
  mode: 'restore',
  force: false,
  isFile: stats.isFile(),
  type: '',
  bytes: Number(stats.size),
  arrivedMs: Number(stats.ctimeMs),
  identity: `${stats.dev}:${stats.ino}`,
  signature,
} as const;
const waits = await looksTruncated(sighting, signal);
try {
  const request = { source, signature, workFolder, checkpoint: noCheckpoint };
  console.log(JSON.stringify({ waits, ...(await claimFile(request, signal)) }));
} catch (error) {
  console.log(JSON.stringify({ waits, ...errorReport(error) }));
}
