import { sqlState } from '../connection-errors.ts';
import { ident } from '../quoting.ts';
import type { Session } from '../session.ts';
import { inTransaction } from './transaction.ts';

/** Tables of one transaction. The server's table of locks has room for some thousands, for all. */
const AT_ONCE = 100;
const NOT_PERMITTED = '42501';

/**
 * REASSIGN OWNED in the staging database. That statement keeps a lock on every table, index and
 * sequence until its end, and tens of thousands are more than max_locks_per_transaction allows: of
 * so many the tables go first, some at a time. Nobody else is in there, so it need not be at once.
 */
export async function reassignOwned(inStaging: Session, from: string, to: string): Promise<void> {
  const tables = await ownedTables(inStaging, from);
  if (tables.length > AT_ONCE) await giveInParts(inStaging, tables, to);
  await inStaging.query(`REASSIGN OWNED BY ${ident(from)} TO ${ident(to)}`);
}

async function giveInParts(inStaging: Session, tables: readonly string[], to: string) {
  for (let at = 0; at < tables.length; at += AT_ONCE) {
    try {
      await inTransaction(inStaging, async () => {
        for (const table of tables.slice(at, at + AT_ONCE)) {
          await inStaging.query(`ALTER TABLE ${table} OWNER TO ${ident(to)}`);
        }
      });
    } catch (error) {
      // REASSIGN asks for fewer rights than ALTER, and does what is left.
      if (sqlState(error) !== NOT_PERMITTED) throw error;
    }
  }
}

/** Quoted; sequences of columns go with their tables. */
async function ownedTables(inStaging: Session, owner: string): Promise<string[]> {
  const rows = await inStaging.query<{ schema: string; name: string }>(
    `SELECT nspname AS schema, relname AS name
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE relowner = (SELECT oid FROM pg_roles WHERE rolname = $1)
        AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        AND NOT EXISTS (SELECT FROM pg_depend d
                         WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                           AND d.deptype IN ('a', 'i', 'e') AND c.relkind = 'S')`,
    [owner],
  );
  return rows.map(({ schema, name }) => `${ident(schema)}.${ident(name)}`);
}
