import { DropbackError, messageOf } from '../../../runtime/errors.ts';
import { assertionFailed, describeAnswer, queryImpossible, queryInvalid } from '../../assertion.ts';
import { sqlState } from '../connection-errors.ts';
import type { Session } from '../session.ts';

/** Connection trouble aside: cancelled, out of resources, out of space. */
const NOT_THE_ANSWER = /^(57|53|58|XX)/;

const NO_RIGHT = '42501';
const READ_ONLY = '25006';
/** No such function, table, schema, type or the like. */
const NO_SUCH_OBJECT = /^(42883|42P01|42704|42703|3F000)$/;

const NO_RIGHTS =
  'it asks as a role without rights that owns what was restored: ask for nothing that only a superuser may see.';

/** Asks BACKUP_VERIFY_SQL as an application would: with the usual search_path, changing nothing. */
export async function askQueries(
  session: Session,
  queries: readonly string[],
  /** Objects are missing that only a superuser could create. */
  scratch: { readonly isPartial: boolean },
  signal: AbortSignal,
): Promise<void> {
  if (queries.length === 0) return;
  await session.query('SET search_path = "$user", public');
  await session.query('SET default_transaction_read_only = on');
  for (const query of queries) {
    const rows = await ask(session, query, scratch, signal);
    const [first] = rows;
    const value = first && Object.values(first)[0];
    if (rows.length !== 1 || value !== true) {
      throw assertionFailed(query, describeAnswer(rows.length, value));
    }
  }
}

async function ask(
  session: Session,
  query: string,
  { isPartial }: { readonly isPartial: boolean },
  signal: AbortSignal,
): Promise<object[]> {
  try {
    return await session.query(query, [], signal);
  } catch (error) {
    const state = sqlState(error);
    if (state === undefined || session.lost.aborted || NOT_THE_ANSWER.test(state)) throw error;
    if (!(error instanceof DropbackError)) throw error;
    if (state === '42601') throw queryInvalid(query, error.message, error);
    const isForLackOfRights = state === NO_RIGHT || (isPartial && NO_SUCH_OBJECT.test(state));
    if (isForLackOfRights)
      throw queryImpossible(query, error.message, { hint: NO_RIGHTS, cause: error });
    if (state === READ_ONLY) {
      const hint = 'a query may only read: it changes nothing in a rehearsal.';
      throw queryImpossible(query, error.message, { hint, cause: error });
    }
    throw assertionFailed(query, `it failed: ${messageOf(error)}`, error);
  }
}
