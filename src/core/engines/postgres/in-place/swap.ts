import { rm } from 'node:fs/promises';
import type { TableCount } from '../../../archive/manifest.ts';
import { removeDurably } from '../../../runtime/durable-files.ts';
import { DropbackError, messageOf } from '../../../runtime/errors.ts';
import type { StepContext, SwapResult } from '../../engine.ts';
import { chooseClient, type PostgresClient } from '../clients.ts';
import { readToc } from '../restore/archive-list.ts';
import { withinBudget } from '../restore/budget.ts';
import { analyze } from '../restore/check.ts';
import { oidOfName } from '../restore/live.ts';
import { applicationName } from '../restore/names.ts';
import type { Server } from '../restore/server.ts';
import { ALONE, loadSettings } from '../restore/tuning.ts';
import type { Session } from '../session.ts';
import {
  type ArchiveSource,
  dropsOf,
  hasLargeObjects,
  largeObjectsOf,
  objectsOf,
  type ScriptPart,
} from './archive-script.ts';
import { evicting } from './eviction.ts';
import { readKept } from './kept.ts';
import { insistOnOutcome, readReplacedInPlace } from './outcome.ts';
import { countArchive, takeSafetyDump } from './safety-dump.ts';
import { safetyPaths } from './safety-file.ts';
import {
  commit,
  dropTables,
  forgetPrivileges,
  lockAgainstAll,
  lockAgainstWriters,
  requireRows,
} from './script.ts';
import { type InPlaceState, toState } from './state.ts';
import { runTransaction, type Script } from './transaction.ts';

interface Swap {
  readonly server: Server;
  readonly folder: string;
  readonly state: InPlaceState;
  readonly archive: string;
  readonly client: PostgresClient;
  readonly serverMajor: number;
  readonly expected: readonly TableCount[];
}

/**
 * Replaces the content of the live database in one transaction: locks every table, dumps what is
 * there (no writer comes between), drops it, loads the archive, counts, commits. Whatever
 * ends it before the COMMIT leaves the database as it was; what became of a COMMIT says the server.
 */
export async function swapInPlace(
  server: Server,
  folder: string,
  state: InPlaceState,
  context: StepContext,
): Promise<SwapResult> {
  const { signal } = context;
  await using session = await server.open({ applicationName: applicationName(state.id), signal });
  if ((await oidOfName(session, state.liveName)) !== state.liveOid) throw liveChanged(state);
  const swap = await prepare(server, folder, state, session, signal);
  const settings = await sessionSettings(session);
  const watch = {
    session,
    oid: state.liveOid,
    budgetBytes: state.budgetBytes,
    expectedBytes: state.expectedBytes,
    serverDataDir: server.options.serverDataDir,
    clock: server.options.clock,
    progress: context.progress,
  };
  let current = state;
  try {
    await withinBudget(watch, signal, (within) => {
      const run = { server, id: state.id, client: swap.client, settings };
      const work = (script: Script) =>
        replace(swap, script, async (transaction) => {
          current = { ...state, transaction };
          await context.save(toState(current));
        });
      return runTransaction(run, work, within);
    });
  } catch (error) {
    if (current.transaction === null) throw error;
    context.log.warn({ why: messageOf(error) }, 'not sure of the COMMIT: asking the database');
    if ((await insistOnOutcome(server, current, signal)) === 'not-swapped') throw error;
  }
  return report(server, folder, state, context);
}

async function prepare(
  server: Server,
  folder: string,
  state: InPlaceState,
  session: Session,
  signal: AbortSignal,
): Promise<Swap> {
  const { archive, archiveMajor } = state;
  if (archive === null) throw new RangeError('no archive was staged');
  const serverMajor = session.major;
  const programs = ['pg_dump', 'pg_restore', 'psql'] as const;
  const client = await chooseClient({ serverMajor, archiveMajor, programs }, signal);
  const expected =
    state.expected === null
      ? (await countArchive(client, archive, signal)).tables
      : (JSON.parse(state.expected) as TableCount[]);
  return { server, folder, state, archive, client, serverMajor, expected };
}

async function replace(
  swap: Swap,
  script: Script,
  onTransaction: (number: string) => Promise<void>,
): Promise<void> {
  const { server, state, client } = swap;
  const paths = safetyPaths(swap.folder, state.id);
  const transaction = await evicting(server, state, script.ended, async () => {
    await script.write(lockAgainstWriters());
    return script.locked();
  });
  await takeSafetyDump(server, state.id, client, paths, script.ended);
  const live = await sourceOf(swap, paths.final, true, script.ended);
  const archive = await sourceOf(swap, swap.archive, state.tablespaces, script.ended);
  const kept = await readKept(server, state.id, script.ended);
  const lists = `${paths.final}.list`;
  await evicting(server, state, script.ended, async () => {
    await script.write(lockAgainstAll());
    await script.write(dropTables());
    await print(script, dropsOf(live, kept, lists));
  });
  await script.write(forgetPrivileges());
  await print(script, objectsOf(archive, kept, lists));
  if (hasLargeObjects(archive.toc)) await print(script, largeObjectsOf(archive, lists));
  await script.write(requireRows(swap.expected));
  await onTransaction(transaction);
  await script.write(commit());
}

async function print(script: Script, making: Promise<ScriptPart>): Promise<void> {
  await using part = await making;
  await script.print(part.programs);
}

async function sourceOf(
  { client, serverMajor }: Swap,
  path: string,
  tablespaces: boolean,
  signal: AbortSignal,
): Promise<ArchiveSource> {
  const toc = await readToc(client, { path, fileName: path }, { isOurs: true }, signal);
  return { path, toc, client, tablespaces, serverMajor };
}

async function sessionSettings(session: Session): Promise<Record<string, string | number>> {
  const settings = await loadSettings(session, ALONE);
  const known = session.major >= 17 ? { transaction_timeout: 0 } : {};
  return {
    ...settings,
    ...known,
    synchronous_commit: 'on',
    search_path: 'pg_catalog,pg_temp',
    default_transaction_read_only: 'off',
    default_transaction_isolation: 'read committed',
    standard_conforming_strings: 'on',
    client_encoding: 'UTF8',
    row_security: 'off',
  };
}

/** It is done: nothing may fail any more. */
async function report(
  server: Server,
  folder: string,
  state: InPlaceState,
  { signal }: StepContext,
): Promise<SwapResult> {
  const warnings: string[] = [];
  try {
    await using inLive = await server.open({
      applicationName: applicationName(state.id),
      database: state.liveName,
      signal,
    });
    warnings.push(...(await analyze(inLive)));
  } catch (error) {
    warnings.push(`ANALYZE did not finish, run it by hand: ${messageOf(error)}`);
  }
  const found = await readReplacedInPlace(server, folder, state, signal);
  return { ...found, warnings: [...warnings, ...found.warnings] };
}

/** What a restore that did not happen has left in the folder. */
export async function removeSafety(folder: string, id: string): Promise<void> {
  const { final, partial } = safetyPaths(folder, id);
  await rm(`${final}.list`, { force: true });
  await rm(partial, { force: true });
  await removeDurably(final);
}

function liveChanged(state: InPlaceState): DropbackError {
  return new DropbackError(
    'restore/live-changed',
    `${JSON.stringify(state.liveName)} is not the database that the restore was planned for`,
    { hint: 'somebody else renamed or replaced it meanwhile. Nothing was changed; start again.' },
  );
}
