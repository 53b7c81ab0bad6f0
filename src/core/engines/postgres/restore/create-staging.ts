import { ident, literal } from '../quoting.ts';
import type { Session } from '../session.ts';
import type { DatabaseFacts } from './live.ts';

/** Comments by which a sweep knows whose leftover a database or role is. */
export function marker(liveName: string): string {
  return `dropback: belongs to a restore of the database ${JSON.stringify(liveName)}`;
}

/** What of a database is fixed at its creation. */
export type CreationModel = Pick<
  DatabaseFacts,
  'encoding' | 'row' | 'tablespace' | 'tablespaceIsDefault'
>;

/**
 * Creates the staging database from template0, in everything that is fixed at creation like the
 * model. Nobody can connect before CONNECT has been taken from PUBLIC. Returns its OID.
 *
 * `owner` defaults to control. A `guest` may work in it and no more: as its owner, the role that
 * runs a foreign file could shut control out, and keep the database with a prepared transaction.
 */
export async function createStaging(
  session: Session,
  staging: {
    readonly name: string;
    readonly owner?: string;
    readonly guest?: string | undefined;
    readonly liveName: string;
  },
  model: CreationModel,
): Promise<string> {
  const database = ident(staging.name);
  const { owner, guest } = staging;
  const options = creationOptions(model);
  if (owner !== undefined) options.unshift(`OWNER ${ident(owner)}`);
  await session.query(
    `CREATE DATABASE ${database} TEMPLATE template0 ALLOW_CONNECTIONS false ${options.join(' ')}`,
  );
  await session.query(`COMMENT ON DATABASE ${database} IS ${literal(marker(staging.liveName))}`);
  await session.query(`REVOKE ALL ON DATABASE ${database} FROM PUBLIC`);
  if (guest !== undefined) {
    const rights = 'CONNECT, CREATE, TEMPORARY';
    await session.query(`GRANT ${rights} ON DATABASE ${database} TO ${ident(guest)}`);
  }
  await session.query(`ALTER DATABASE ${database} ALLOW_CONNECTIONS true`);
  const { oid } = await session.queryOne<{ oid: string }>(
    'SELECT oid::text AS oid FROM pg_database WHERE datname = $1',
    [staging.name],
  );
  return oid;
}

/**
 * Encoding, locale and tablespace as CREATE DATABASE takes them. The catalog's columns changed with
 * the versions: no provider before 15, daticulocale in 15 and 16, datlocale from 17 on.
 */
export function creationOptions(model: CreationModel): string[] {
  const { row } = model;
  const text = (name: string) =>
    typeof row[name] === 'string' ? (row[name] as string) : undefined;
  const options = [`ENCODING ${literal(model.encoding)}`];
  const [collate, ctype] = [text('datcollate'), text('datctype')];
  if (collate !== undefined) options.push(`LC_COLLATE ${literal(collate)}`);
  if (ctype !== undefined) options.push(`LC_CTYPE ${literal(ctype)}`);
  const locale = text('datlocale') ?? text('daticulocale');
  const provider = text('datlocprovider');
  if (provider === 'c') options.push('LOCALE_PROVIDER libc');
  if (provider === 'i') {
    options.push('LOCALE_PROVIDER icu', `ICU_LOCALE ${literal(locale ?? '')}`);
    const rules = text('daticurules');
    if (rules !== undefined) options.push(`ICU_RULES ${literal(rules)}`);
  }
  if (provider === 'b') {
    options.push('LOCALE_PROVIDER builtin', `BUILTIN_LOCALE ${literal(locale ?? '')}`);
  }
  if (!model.tablespaceIsDefault) options.push(`TABLESPACE ${ident(model.tablespace)}`);
  return options;
}
