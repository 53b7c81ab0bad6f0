import { join } from 'node:path';
import type { UnpackedDrop } from '../../../archive/unpacked.ts';
import { DropbackError } from '../../../runtime/errors.ts';
import { qualified } from '../quoting.ts';
import { readDependencies } from '../restore/archive-list.ts';
import { EntryErrors } from '../restore/entry-errors.ts';
import { writeList } from '../restore/list-file.ts';
import { type ArchiveLoad, loadArchive } from '../restore/load-archive.ts';
import { loadError } from '../restore/load-error.ts';
import type { Toc, TocEntry, TocFilter } from '../script/toc.ts';
import type { Session } from '../session.ts';
import { isAboutRights, NotRehearsed, notRehearsable } from './not-rehearsed.ts';

/** Filled by queries that the archive brings: what they may not see is not the rows' fault. */
const VIEW_DATA = 'MATERIALIZED VIEW DATA';
const NO_SUCH_SETTING = /unrecognized configuration parameter "transaction_timeout"$/;

export interface ScratchLoad {
  readonly base: Omit<
    ArchiveLoad,
    'listFile' | 'sections' | 'entryErrors' | 'exact' | 'tablespaces'
  >;
  readonly archive: UnpackedDrop;
  readonly workFolder: string;
  readonly toc: Toc;
  readonly filter: TocFilter;
  /** Opens a session of the loader in the scratch database. */
  readonly open: (signal: AbortSignal) => Promise<Session>;
}

export interface ScratchLoaded {
  readonly warnings: readonly string[];
  readonly notRehearsed: NotRehearsed;
}

/**
 * Loads in three parts. Definitions and materialized views go on where the loader lacks a right:
 * that, and what depends on it, is left out and told. Anything else that fails is an error:
 * `drop/does-not-load`, or `verify/not-rehearsable` where something that was left out may be why.
 */
export async function loadScratch(load: ScratchLoad, signal: AbortSignal): Promise<ScratchLoaded> {
  const isViewData = ({ type }: TocEntry) => type === VIEW_DATA;
  const definitions = await loadTolerantly(load, NotRehearsed.nothing, ['pre-data'], signal);
  let { notRehearsed } = definitions;
  await unforceRowSecurity(load, signal);
  const rows = await loadRows(load, notRehearsed, isViewData, signal);
  const warnings = [...definitions.warnings, ...rows];
  const views = load.toc.types.has(VIEW_DATA) ? load.toc.entries.filter(isViewData) : [];
  if (views.some(({ dumpId }) => !notRehearsed.has(dumpId))) {
    const only = (entry: TocEntry) => !isViewData(entry);
    const filled = await loadTolerantly(load, notRehearsed, undefined, signal, only);
    notRehearsed = filled.notRehearsed;
    warnings.push(...filled.warnings);
  }
  return { warnings, notRehearsed };
}

/** Forced row security binds the owner, too; nothing of what is compared or asked depends on it. */
async function unforceRowSecurity({ open }: ScratchLoad, signal: AbortSignal): Promise<void> {
  await using session = await open(signal);
  const tables = await session.query<{ schema: string; name: string }>(
    `SELECT n.nspname AS schema, c.relname AS name
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relforcerowsecurity AND pg_get_userbyid(c.relowner) = current_user`,
  );
  for (const { schema, name } of tables) {
    await session.query(`ALTER TABLE ONLY ${qualified(schema, name)} NO FORCE ROW LEVEL SECURITY`);
  }
}

async function loadRows(
  load: ScratchLoad,
  notRehearsed: NotRehearsed,
  isViewData: (entry: TocEntry) => boolean,
  signal: AbortSignal,
): Promise<string[]> {
  const also = (entry: TocEntry) => isViewData(entry) || notRehearsed.has(entry.dumpId);
  try {
    return await runPart(load, { sections: ['data', 'post-data'] }, also, signal);
  } catch (error) {
    if (!(error instanceof DropbackError) || error.code !== 'drop/does-not-load') throw error;
    const said = error.facts['stderr'];
    const lines = Array.isArray(said) ? said.map(String) : [error.message];
    if (!notRehearsed.isPartial && !lines.some(isAboutRights)) throw error;
    throw notRehearsable(error.message, error);
  }
}

async function loadTolerantly(
  load: ScratchLoad,
  known: NotRehearsed,
  sections: readonly string[] | undefined,
  signal: AbortSignal,
  also: (entry: TocEntry) => boolean = () => false,
): Promise<ScratchLoaded> {
  const entryErrors = new EntryErrors();
  const leave = (entry: TocEntry) => also(entry) || known.has(entry.dumpId);
  const part = { entryErrors, jobs: 1, ...(sections ? { sections } : {}) };
  const warnings = await runPart(load, part, leave, signal);
  const notRehearsed = await judge(load, known, entryErrors, signal);
  return { warnings, notRehearsed };
}

async function judge(
  { base, archive, toc }: ScratchLoad,
  known: NotRehearsed,
  { all }: EntryErrors,
  signal: AbortSignal,
): Promise<NotRehearsed> {
  const tolerant = base.tolerateTransactionTimeout;
  const errors = all.filter(
    ({ dumpId, message }) => dumpId !== undefined || !(tolerant && NO_SUCH_SETTING.test(message)),
  );
  if (errors.length === 0) return known;
  const refused = errors.filter(({ message }) => isAboutRights(message));
  const dependencies = await readDependencies(base.client, archive, signal);
  const ids = new Set([...known.refused, ...refused.flatMap(({ dumpId }) => dumpId ?? [])]);
  const left = new NotRehearsed(toc, ids, dependencies);
  const unexplained = errors.filter(({ dumpId }) => dumpId === undefined || !left.has(dumpId));
  if (unexplained.length === 0) return left;
  const error = loadError(
    'pg_restore',
    unexplained.map(({ message }) => message),
  );
  const isOurs = error.code === 'drop/does-not-load' && left.isPartial;
  throw isOurs ? notRehearsable(error.message, error) : error;
}

async function runPart(
  { base, toc, filter, workFolder }: ScratchLoad,
  part: Pick<ArchiveLoad, 'sections' | 'entryErrors'> & { readonly jobs?: number },
  also: (entry: TocEntry) => boolean,
  signal: AbortSignal,
): Promise<string[]> {
  const listFile = join(workFolder, 'entries.list');
  await writeList(listFile, toc, { ...filter, also });
  return loadArchive({ ...base, ...part, listFile, exact: false, tablespaces: false }, signal);
}
