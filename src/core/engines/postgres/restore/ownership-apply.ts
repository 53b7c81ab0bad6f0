import { messageOf } from '../../../runtime/errors.ts';
import { ident } from '../quoting.ts';
import { renderObject } from '../script/object-reference.ts';
import type { OwnershipStatement } from '../script/ownership.ts';
import { ownershipSql } from '../script/ownership-sql.ts';
import type { Session } from '../session.ts';
import { type LeftOut, leftOutWarnings } from './left-out.ts';
import { type OwnershipRules, objection, readOwnershipRules } from './ownership-rules.ts';
import { takePublicBack } from './public-schema.ts';
import { reassignOwned } from './reassign-owned.ts';
import { inTransaction } from './transaction.ts';

export interface Handover {
  /** The role that has loaded a foreign file and owns everything of it. */
  readonly loadRole: string;
  /** Owner of the live database; what the file says of it is said of `heir`. */
  readonly owner: string;
  /** Gets everything: the owner, or who stands in for it. */
  readonly heir: string;
  /** Made for this restore alone: whatever is left of it may go. */
  readonly isOwnRole: boolean;
  readonly statements: readonly OwnershipStatement[];
  /** A rehearsal: says what would be left out, changes nothing. */
  readonly onlyForesee: boolean;
}

/**
 * Hands everything that the load role owns to the heir, then repeats the file's owners and
 * grants, built anew from parsed names. Runs as control, in staging. What cannot or may not be
 * repeated is a warning: it never widens anybody's rights.
 */
export async function handOver(inStaging: Session, handover: Handover): Promise<string[]> {
  const { loadRole, owner, heir, isOwnRole, onlyForesee } = handover;
  if (!onlyForesee) {
    await takePublicBack(inStaging, loadRole);
    await giveContainers(inStaging, loadRole, heir);
    await reassignOwned(inStaging, loadRole, heir);
  }
  const rules = await readOwnershipRules(inStaging, owner);
  const leftOut: LeftOut[] = [];
  for (const statement of handover.statements) {
    leftOut.push(...(await applyOne(inStaging, statement, rules, onlyForesee)));
  }
  // Default privileges and grants that the file gave to the role that it saw itself running as.
  if (isOwnRole && !onlyForesee) await inStaging.query(`DROP OWNED BY ${ident(loadRole)}`);
  return leftOutWarnings(leftOut);
}

/**
 * Database and schemas first: where control is no superuser, whoever gets a function or type must be
 * allowed to create it where it is, and REASSIGN takes things in any order.
 */
async function giveContainers(inStaging: Session, loadRole: string, heir: string): Promise<void> {
  const { name } = await inStaging.queryOne<{ name: string }>('SELECT current_database() AS name');
  const owned = await inStaging.query<{ kind: 'DATABASE' | 'SCHEMA'; name: string }>(
    `SELECT 'DATABASE' AS kind, datname AS name FROM pg_database
      WHERE datname = $1 AND datdba <> (SELECT oid FROM pg_roles WHERE rolname = $3)
      UNION ALL
     SELECT 'SCHEMA', nspname FROM pg_namespace
      WHERE nspowner = (SELECT oid FROM pg_roles WHERE rolname = $2)
      ORDER BY kind`,
    [name, loadRole, heir],
  );
  for (const one of owned) {
    await inStaging.query(`ALTER ${one.kind} ${ident(one.name)} OWNER TO ${ident(heir)}`);
  }
}

async function applyOne(
  session: Session,
  statement: OwnershipStatement,
  rules: OwnershipRules,
  onlyForesee: boolean,
): Promise<LeftOut[]> {
  // REASSIGN has done that already, for millions of large objects perhaps.
  if (statement.kind === 'owner' && statement.role === rules.owner) return [];
  const about = describe(statement);
  const objected = objection(statement, rules);
  if (objected !== undefined) return [{ ...about, why: `was left out: ${objected}` }];
  const { sql, leftOut, grantor } = ownershipSql(statement, {
    role: (name) => (rules.roles.has(name) ? name : undefined),
    serverMajor: session.major,
  });
  const unknown = leftOut.map((role) => ({
    ...about,
    why: `was left out for the unknown role ${role}`,
  }));
  if (sql === undefined || onlyForesee) return unknown;
  try {
    await execute(session, sql, grantor === rules.owner ? undefined : grantor);
    return unknown;
  } catch (error) {
    if (session.lost.aborted) throw error;
    return [...unknown, { ...about, why: `was not possible: ${messageOf(error)}` }];
  }
}

/** A grant that somebody else than the owner has made is made by that role again. */
async function execute(session: Session, sql: string, grantor: string | undefined): Promise<void> {
  if (grantor === undefined) {
    await session.query(sql);
    return;
  }
  await inTransaction(session, async () => {
    await session.query(`SET LOCAL ROLE ${ident(grantor)}`);
    await session.query(sql);
  });
}

function describe(statement: OwnershipStatement): Omit<LeftOut, 'why'> {
  if (statement.kind === 'owner') {
    return { what: 'the owner of', object: renderObject(statement.object) };
  }
  const verb = statement.kind.endsWith('grant') ? 'a grant' : 'a revocation';
  if ('object' in statement) return { what: `${verb} on`, object: renderObject(statement.object) };
  return { what: `${verb} by default on`, object: statement.objects };
}
