import { rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { text } from 'node:stream/consumers';
import type { TableCount } from '../../../archive/manifest.ts';
import {
  openExclusive,
  removeDurably,
  syncFile,
  syncFolder,
} from '../../../runtime/durable-files.ts';
import { DropbackError } from '../../../runtime/errors.ts';
import { runPipeline } from '../../../runtime/process/pipeline.ts';
import { together } from '../../../runtime/together.ts';
import { dumpError } from '../backup/dump-messages.ts';
import { rowCounter } from '../backup/read-back-scan.ts';
import type { ArchiveCount } from '../backup/read-back-scanner.ts';
import { countLargeObjects } from '../catalog.ts';
import { clientProgram, type PostgresClient } from '../clients.ts';
import { libpqEnvironment } from '../environment.ts';
import { countAll, countDifferences } from '../restore/counts.ts';
import { applicationName } from '../restore/names.ts';
import type { Server } from '../restore/server.ts';
import type { SafetyPaths } from './safety-file.ts';

/**
 * Dumps the live database, of which nobody may write while this runs, reads the dump back whole and
 * compares its rows with those counted in the database. Durable under its final name when it
 * returns. Throws `restore/no-safety-dump` and the like; nothing has been changed then.
 */
export async function takeSafetyDump(
  server: Server,
  id: string,
  client: PostgresClient,
  paths: SafetyPaths,
  signal: AbortSignal,
): Promise<void> {
  await removeDurably(paths.partial);
  // pg_dump opens an existing file and keeps its mode.
  await (await openExclusive(paths.partial)).close();
  const [counted] = await together(
    signal,
    (joint) => countLive(server, id, joint),
    (joint) => dump(server, id, client, paths.partial, joint),
  );
  await syncFile(paths.partial);
  const found = await countArchive(client, paths.partial, signal);
  const differences = countDifferences(counted.tables, withEmpty(found.tables, counted.tables));
  if (found.largeObjects !== counted.largeObjects) {
    differences.push(`${found.largeObjects} large objects, ${counted.largeObjects} were expected`);
  }
  if (differences.length > 0) throw notWhole(differences);
  await rename(paths.partial, paths.final);
  await syncFolder(dirname(paths.final));
}

/** Reads an archive of ours to its end: rows of each table that it has rows of. */
export async function countArchive(
  client: PostgresClient,
  path: string,
  signal: AbortSignal,
): Promise<ArchiveCount> {
  let printed = '';
  const file = clientProgram(client, 'pg_restore');
  const args = ['--data-only', '--file=-', '--', path];
  await runPipeline([{ name: 'pg_restore', file, args }, rowCounter()], {
    signal,
    consume: async (stdout) => {
      printed = await text(stdout);
    },
  });
  return JSON.parse(printed) as ArchiveCount;
}

async function countLive(server: Server, id: string, signal: AbortSignal): Promise<ArchiveCount> {
  await using session = await server.open({
    applicationName: applicationName(id),
    database: server.liveName,
    signal,
    lockTimeoutMs: 10_000,
  });
  const tables = await countAll(session, () => {});
  return { tables, largeObjects: await countLargeObjects(session) };
}

async function dump(
  server: Server,
  id: string,
  client: PostgresClient,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const program = {
    name: 'pg_dump',
    file: clientProgram(client, 'pg_dump'),
    // Level 1: the application waits for it, and it is kept for a day.
    args: ['--format=custom', '--compress=1', '--no-password', `--file=${path}`],
    environment: libpqEnvironment(server.control, {
      database: server.liveName,
      applicationName: applicationName(id),
      settings: { statement_timeout: 0, idle_in_transaction_session_timeout: 0 },
    }),
  };
  try {
    await runPipeline([program], { signal });
  } catch (error) {
    if (signal.aborted) throw error;
    const cause = dumpError(error);
    if (cause.retryable || cause.code === 'disk/full') throw cause;
    throw new DropbackError('restore/no-safety-dump', `no safety dump: ${cause.message}`, {
      hint: `${cause.hint} Nothing is replaced in place without one; the live database is unchanged.`,
      facts: cause.facts,
      cause,
    });
  }
}

/** Empty tables may be missing from what a scan of the archive lists. */
function withEmpty(found: readonly TableCount[], all: readonly TableCount[]): TableCount[] {
  const key = (table: TableCount) => JSON.stringify([table.schema, table.name]);
  const known = new Set(found.map(key));
  const empty = all.filter((table) => table.rows === 0 && !known.has(key(table)));
  return [...found, ...empty];
}

function notWhole(differences: readonly string[]): DropbackError {
  const shown = differences.slice(0, 10).join('; ');
  return new DropbackError(
    'restore/no-safety-dump',
    `the safety dump is not the live database: ${shown}`,
    {
      hint: 'nothing is replaced in place without one; the live database is unchanged. Check disk and memory.',
      facts: { differences: differences.slice(0, 100) },
    },
  );
}
