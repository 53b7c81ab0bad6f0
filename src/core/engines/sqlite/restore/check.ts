import { DropbackError } from '../../../runtime/errors.ts';
import type { Inspection, StagedCheck } from '../../engine.ts';
import type { BrokenReferences } from '../protocol.ts';
import type { SqliteTool } from '../tool-client.ts';
import { brokenReferencesLine } from '../warnings.ts';
import { differences } from './differences.ts';
import { actorOf, type SqliteState } from './state.ts';

/** The staged file once more, whole: pages, rows of each table, references. */
export async function check(
  tool: SqliteTool,
  state: SqliteState,
  inspection: Inspection,
  signal: AbortSignal,
): Promise<StagedCheck> {
  const runAs = actorOf(state);
  const facts = await tool.ask('inspect', { path: state.staging }, { runAs, signal });
  const [damage] = facts.damage;
  if (damage !== undefined) throw failed(`the staged file is damaged: ${damage}`);
  if (facts.journalMode !== 'rollback') throw failed('the staged file is still in WAL mode');
  const [difference] = differences(inspection.expectedTables ?? [], facts.tables);
  if (difference !== undefined) throw failed(`not what was inspected: ${difference}`);
  const known = inspection.details['foreignKeys'] as unknown as readonly BrokenReferences[];
  const fresh = facts.foreignKeys.find((each) => !known.some((other) => isSame(each, other)));
  if (fresh) throw failed(brokenReferencesLine(fresh));
  return { tables: facts.tables, warnings: [] };
}

function isSame(one: BrokenReferences, other: BrokenReferences): boolean {
  return one.table === other.table && one.parent === other.parent && one.rows === other.rows;
}

function failed(message: string): DropbackError {
  return new DropbackError('restore/staged-check-failed', message, {
    hint: 'the copy beside the live database went wrong: check the disk, then drop the file again.',
  });
}
