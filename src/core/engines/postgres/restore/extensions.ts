import { DropbackError } from '../../../runtime/errors.ts';
import { ident, qualified } from '../quoting.ts';
import type { Session } from '../session.ts';

export interface NeededExtension {
  readonly name: string;
  /** Schema that the dump puts it into; null: the extension's own choice. */
  readonly schema: string | null;
}

export interface ExtensionRules {
  /** The file is one of our own backups. */
  readonly trusted: boolean;
  readonly isSuperuser: boolean;
  /** Extensions of the live database. */
  readonly inLive: readonly string[];
}

/**
 * Refuses what could not, or should not, be created in staging. A foreign file may have only
 * extensions that PostgreSQL itself calls trusted, or that the live database has already: others
 * bring C code and rights with them that nobody asked for.
 * Throws `drop/extension-missing`, `drop/extension-not-allowed`.
 */
export async function requireExtensions(
  session: Session,
  needed: readonly NeededExtension[],
  rules: ExtensionRules,
): Promise<void> {
  const rows = await session.query<{ name: string; trusted: boolean }>(
    `SELECT name, bool_or(trusted) AS trusted FROM pg_available_extension_versions
      WHERE name = ANY ($1::text[]) GROUP BY name`,
    [needed.map((one) => one.name)],
  );
  const available = new Map(rows.map((row) => [row.name, row.trusted]));
  const missing = needed.filter(({ name }) => !available.has(name)).map(({ name }) => name);
  if (missing.length > 0) throw notInstalled(missing);
  const isOk = (name: string) => {
    const isTrusted = available.get(name) === true;
    if (!rules.isSuperuser && !isTrusted) return false;
    return rules.trusted || isTrusted || rules.inLive.includes(name);
  };
  const refused = needed.filter(({ name }) => !isOk(name)).map(({ name }) => name);
  if (refused.length > 0) throw notAllowed(refused, rules);
}

/**
 * Creates extensions in an empty staging database, before anything of the file is in it: their
 * scripts then meet only objects of PostgreSQL's own. A schema that the file puts one into is made
 * first, for `owner`. Extensions' tables and sequences that pg_dump saves are opened for the
 * load, and so are their schemas.
 */
export async function createExtensions(
  inStaging: Session,
  needed: readonly NeededExtension[],
  owner: string,
): Promise<void> {
  for (const { name, schema } of needed) {
    const clause = schema === null ? '' : ` SCHEMA ${ident(schema)}`;
    if (schema !== null && !isGiven(schema)) {
      await inStaging.query(
        `CREATE SCHEMA IF NOT EXISTS ${ident(schema)} AUTHORIZATION ${ident(owner)}`,
      );
    }
    await inStaging.query(`CREATE EXTENSION IF NOT EXISTS ${ident(name)}${clause} CASCADE`);
  }
  const saved = await inStaging.query<{ schema: string; name: string; kind: string }>(
    `SELECT n.nspname AS schema, c.relname AS name, c.relkind AS kind
       FROM pg_extension e CROSS JOIN unnest(e.extconfig) AS config(oid)
       JOIN pg_class c ON c.oid = config.oid JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'S')`,
  );
  for (const { schema, name, kind } of saved) {
    const right = kind === 'S' ? 'SELECT, UPDATE ON SEQUENCE' : 'SELECT, INSERT ON TABLE';
    await inStaging.query(`GRANT ${right} ${qualified(schema, name)} TO ${ident(owner)}`);
  }
  const schemas = await inStaging.query<{ name: string }>(
    `SELECT n.nspname AS name FROM pg_namespace n JOIN pg_depend d ON d.objid = n.oid
      WHERE d.classid = 'pg_namespace'::regclass AND d.deptype = 'e'`,
  );
  for (const { name } of schemas) {
    await inStaging.query(`GRANT USAGE ON SCHEMA ${ident(name)} TO ${ident(owner)}`);
  }
}

/** Schemas that exist in every new database. */
export function isGiven(schema: string): boolean {
  return schema === 'public' || schema === 'pg_catalog' || schema === 'information_schema';
}

function notInstalled(names: readonly string[]): DropbackError {
  return new DropbackError(
    'drop/extension-missing',
    `the server does not have the extensions that the file needs: ${names.join(', ')}`,
    {
      hint: `install them on the server's machine or image (packages such as postgresql-NN-${names[0]}), then drop the file again.`,
      facts: { extensions: names },
    },
  );
}

function notAllowed(names: readonly string[], rules: ExtensionRules): DropbackError {
  const why = rules.isSuperuser
    ? 'a foreign file may only bring extensions that are trusted or in the live database already'
    : 'only a superuser can create them';
  const statements = names.map((name) => `CREATE EXTENSION ${ident(name)};`).join(' ');
  return new DropbackError(
    'drop/extension-not-allowed',
    `the file needs the extensions ${names.join(', ')}, and ${why}`,
    {
      hint: rules.isSuperuser
        ? `if they are wanted, create them in the live database first: ${statements}`
        : 'set RESTORE_ADMIN_URL to a superuser.',
      facts: { extensions: names },
    },
  );
}
