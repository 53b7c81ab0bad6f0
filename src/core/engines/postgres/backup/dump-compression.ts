import { capture } from '../../../runtime/process/pipeline.ts';
import { clientProgram, type PostgresClient } from '../clients.ts';

/** No folder can be made there, for anybody. */
const IMPOSSIBLE_FOLDER = '/dev/null/dropback';
/** Of pg_dump and pg_restore: before, neither knows it. */
export const FIRST_MAJOR_WITH_ZSTD = 16;
const HIGHEST_GZIP_LEVEL = 9;
const PROBE_TIMEOUT_MS = 10_000;

/**
 * What pg_dump's `--compress` is given for a directory: zstd where the program knows it and was
 * built with it, else gzip. `level` is zstd's.
 */
export async function directoryCompression(
  client: PostgresClient,
  level: number,
  signal: AbortSignal,
): Promise<string> {
  const zstd = `zstd:${level}`;
  if (client.major >= FIRST_MAJOR_WITH_ZSTD && (await accepts(client, zstd, signal))) return zstd;
  const gzip = Math.max(1, Math.min(level, HIGHEST_GZIP_LEVEL));
  return client.major >= FIRST_MAJOR_WITH_ZSTD ? `gzip:${gzip}` : `${gzip}`;
}

/**
 * Nothing that pg_dump prints lists what it was built with. It looks at `--compress` first and at
 * its folder next, before it connects anywhere: told to use an impossible one, it complains of that
 * if the compression was fine.
 */
async function accepts(
  client: PostgresClient,
  compression: string,
  signal: AbortSignal,
): Promise<boolean> {
  let isFine = false;
  const program = {
    name: 'pg_dump',
    file: clientProgram(client, 'pg_dump'),
    args: ['--format=directory', `--compress=${compression}`, `--file=${IMPOSSIBLE_FOLDER}`],
    successCodes: [1],
  };
  await capture(program, {
    signal,
    timeoutMs: PROBE_TIMEOUT_MS,
    onStderr: (_name, line) => {
      if (/could not (open|create) directory/.test(line)) isFine = true;
    },
  });
  return isFine;
}
