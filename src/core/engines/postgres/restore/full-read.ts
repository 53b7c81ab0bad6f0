import { rm } from 'node:fs/promises';
import type { UnpackedDrop } from '../../../archive/unpacked.ts';
import { DropbackError } from '../../../runtime/errors.ts';
import { diskError } from '../../../runtime/process/disk-full.ts';
import { requireProgram } from '../../../runtime/process/find-program.ts';
import { runPipeline } from '../../../runtime/process/pipeline.ts';
import type { Program } from '../../../runtime/process/program.ts';
import { clientProgram, type PostgresClient } from '../clients.ts';
import { tooComplex } from '../script/refusals.ts';
import type { Toc } from '../script/toc.ts';
import type { TextSize } from './budget.ts';
import { READ_LIMITS } from './limits.ts';
import { writeList } from './list-file.ts';

const CUT = /end of file|unexpected end|could not read from input file: end/i;
const NO_MEMORY = /out of memory/i;
/** By its own limit of file size, or by whoever looks after memory. */
const LIMITS = ['SIGXFSZ', 'SIGKILL'];
const TOO_NEW = /unsupported version \(([\d.]+)\) in file header/;

/**
 * Reads an archive to its last byte, as pg_restore reads it, and measures it as text. The table of
 * contents alone (`pg_restore -l`) is whole in an archive that was cut in half.
 * Throws `drop/truncated`, `drop/too-new`, `drop/corrupt`.
 */
export async function readWhole(
  client: PostgresClient,
  drop: UnpackedDrop,
  signal: AbortSignal,
): Promise<TextSize> {
  const counter: Program = { name: 'wc', file: requireProgram('wc', 'coreutils'), args: ['-lc'] };
  let printed = '';
  await reading(drop, () =>
    runPipeline([reader(client, drop, ['--file=-']), counter], {
      signal,
      consume: async (stdout) => {
        for await (const chunk of stdout as AsyncIterable<Buffer>) printed += chunk.toString();
      },
    }),
  );
  const [lines = 0, bytes = 0] = printed.trim().split(/\s+/).map(Number);
  return { lines, bytes };
}

/** Entries that are rows and contents; without them an archive is small, however large it is. */
const CONTENTS = [
  'TABLE DATA',
  'BLOBS',
  'SEQUENCE SET',
  'MATERIALIZED VIEW DATA',
  'STATISTICS DATA',
];

/**
 * Writes the archive's definitions as a script into a new file, for the same inspection as scripts.
 * `--schema-only` would leave out owners and grants of large objects.
 */
export async function writeDefinitions(
  client: PostgresClient,
  drop: UnpackedDrop,
  toc: Toc,
  file: string,
  signal: AbortSignal,
): Promise<void> {
  const listFile = `${file}.list`;
  try {
    await writeList(listFile, toc, { types: CONTENTS });
    const program = reader(client, drop, [`--use-list=${listFile}`, `--file=${file}`]);
    await reading(drop, () => runPipeline([program], { signal }));
  } finally {
    await rm(listFile, { force: true });
  }
}

function reader(client: PostgresClient, drop: UnpackedDrop, args: readonly string[]): Program {
  const file = clientProgram(client, 'pg_restore');
  return { name: 'pg_restore', file, args: [...args, '--', drop.path], limits: READ_LIMITS };
}

export async function reading<T>(
  drop: Pick<UnpackedDrop, 'fileName'>,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const told = diskError(error, 'the volume of the drop folder');
    if (!(told instanceof DropbackError) || told.code !== 'tool/failed') throw told;
    throw unreadable(drop, told);
  }
}

function unreadable(drop: Pick<UnpackedDrop, 'fileName'>, cause: DropbackError): DropbackError {
  const lines = Array.isArray(cause.facts['stderr']) ? cause.facts['stderr'].map(String) : [];
  const said = lines.join('; ') || cause.message;
  const version = TOO_NEW.exec(said)?.[1];
  const facts = { stderr: lines };
  if (NO_MEMORY.test(said) || LIMITS.includes(String(cause.facts['exitSignal']))) {
    return tooComplex(cause);
  }
  if (version !== undefined) {
    return new DropbackError(
      'drop/too-new',
      `${drop.fileName} has archive format ${version}, which no installed pg_restore reads`,
      {
        hint: 'install the client programs of the PostgreSQL version that made the dump (postgresql-client-NN).',
        facts,
        cause,
      },
    );
  }
  if (CUT.test(said)) {
    return new DropbackError('drop/truncated', `${drop.fileName} ends too early: ${said}`, {
      hint: 'the file was cut off while it was written or copied: copy it again, or take another backup.',
      facts,
      cause,
    });
  }
  return new DropbackError('drop/corrupt', `${drop.fileName} cannot be read: ${said}`, {
    hint: 'the file is damaged: copy it again and compare checksums, or take another backup.',
    facts,
    cause,
  });
}
