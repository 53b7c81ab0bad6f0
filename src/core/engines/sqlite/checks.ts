import { DropbackError, errorReport, isAbort } from '../../runtime/errors.ts';
import { findProgram } from '../../runtime/process/find-program.ts';
import type { CheckResult } from '../engine.ts';
import type { Location } from './owner.ts';
import type { SqliteTool } from './tool-client.ts';

/** Whether tonight's backup or the next restore would fail for a reason that can be seen now. */
export async function check(
  tool: SqliteTool,
  locate: () => Promise<Location>,
  purpose: 'backup' | 'restore',
  signal: AbortSignal,
): Promise<CheckResult[]> {
  const results: CheckResult[] = programs(purpose);
  try {
    const location = await locate();
    results.push(owner(location));
    results.push(...(await file(tool, location, purpose, signal)));
  } catch (error) {
    if (isAbort(error)) throw error;
    const { code, message, hint } = errorReport(error);
    const isLater = error instanceof DropbackError && error.retryable;
    const status = isLater ? 'warning' : 'failed';
    results.push({ id: `sqlite/${code.replace('/', '-')}`, status, message, hint });
  }
  return results;
}

function programs(purpose: 'backup' | 'restore'): CheckResult[] {
  const needed = purpose === 'backup' ? ['cat', 'tee', 'sha256sum'] : ['dd'];
  const missing = needed.filter((name) => !findProgram(name));
  if (missing.length === 0) {
    return [{ id: 'sqlite/tools', status: 'ok', message: 'all programs are installed' }];
  }
  const message = `not installed: ${missing.join(', ')}`;
  return [{ id: 'sqlite/tools', status: 'failed', message, hint: 'install coreutils.' }];
}

function owner({ owner, runAs }: Location): CheckResult {
  const how = runAs ? `tools start as uid ${owner.uid}, gid ${owner.gid}` : 'it is ours';
  return { id: 'sqlite/owner', status: 'ok', message: `the database file: ${how}` };
}

async function file(
  tool: SqliteTool,
  location: Location,
  purpose: 'backup' | 'restore',
  signal: AbortSignal,
): Promise<CheckResult[]> {
  const { path, runAs } = location;
  if (!location.exists) {
    const message = `${path} does not exist yet`;
    if (purpose === 'restore') return [{ id: 'sqlite/file', status: 'ok', message }];
    const hint = 'it is waited for; check the path if the application has been started before.';
    return [{ id: 'sqlite/file', status: 'warning', message, hint }];
  }
  const facts = await tool.ask('probe', { path }, { runAs, signal });
  const results: CheckResult[] = [
    { id: 'sqlite/file', status: 'ok', message: `${path}, SQLite ${facts.sqliteVersion}` },
  ];
  if (purpose === 'restore') results.push(howItIsSwapped(facts.journalMode, facts.isMount));
  const { freeBytes, bytes } = facts;
  if (freeBytes < bytes * 2) {
    results.push({
      id: 'sqlite/space',
      status: 'warning',
      message: `${freeBytes} bytes free beside a database of ${bytes} bytes`,
      hint: 'a restore keeps the previous file beside the new one: leave twice its size free.',
    });
  }
  return results;
}

function howItIsSwapped(journalMode: string, isMount: boolean): CheckResult {
  const id = 'sqlite/swap';
  if (isMount) {
    return {
      id,
      status: 'warning',
      message: 'the file is mounted by itself: a restore writes over it in place',
      hint: 'mount its folder instead: the swap is then one rename, and side files have a place.',
    };
  }
  const message =
    journalMode === 'wal'
      ? 'WAL mode: a restore swaps by one rename'
      : 'rollback-journal mode: a restore writes over the file in place (downtime grows with it)';
  return { id, status: 'ok', message };
}
