import { statfs } from 'node:fs/promises';
import { DropbackError } from '../../../runtime/errors.ts';
import type { CheckResult } from '../../engine.ts';
import { readExtensionTables } from '../catalog.ts';
import { ident } from '../quoting.ts';
import type { FileNeeds } from '../restore/inspect.ts';
import { readProfile } from '../restore/profile.ts';
import { requireAll } from '../restore/require-all.ts';
import { controlRights } from '../restore/rights.ts';
import type { Scene } from '../restore/scene.ts';
import type { Server } from '../restore/server.ts';
import type { Session } from '../session.ts';
import { lockRoom } from './lock-room.ts';

/** Free space that is left to whatever else lies in the folder. */
const RESERVE_BYTES = 64 * 1024 * 1024;
const MOST_NAMES = 10;

/** Everything that would make the one transaction fail, as far as it can be known beforehand. */
export async function requireInPlace(
  server: Server,
  folder: string,
  scene: Scene,
  file: FileNeeds,
  signal: AbortSignal,
): Promise<void> {
  const { session, live } = scene;
  const { role } = await session.queryOne<{ role: string }>('SELECT current_user AS role');
  if (file.foreign) throw foreignFile(role);
  if (!live) throw noDatabase(server.liveName, scene.owner);
  requireAll([
    ...(await rightsInPlace(scene, file.owners)),
    ...(await ownersWithoutRights(scene, file.owners)),
    ...file.missingRoles.map((name) =>
      failed(`role/${name}`, `the role ${name} of the backup is unknown here`, create(name)),
    ),
  ]);
  await using inLive = await server.open({
    applicationName: 'dropback inspect',
    database: server.liveName,
    signal,
  });
  requireAll([
    ...(await ownership(inLive, role)),
    ...(await immovable(inLive, live.oid)),
    ...(await publicSchema(inLive, role)),
    ...(await lockRoom(inLive, file.tables)),
  ]);
  await requireRoom(inLive, folder);
}

const NEEDED = /^postgres\/rights\/owner(\/|$)/;

export async function rightsInPlace(
  scene: Pick<Scene, 'session' | 'info' | 'live' | 'owner'>,
  actsAs: readonly string[],
): Promise<CheckResult[]> {
  const { session, info, live, owner } = scene;
  const profile = live && (await readProfile(session, live.oid));
  const question = { info, live, profile, owner, actsAs, createsRoles: false };
  return (await controlRights(session, question)).filter(({ id }) => NEEDED.test(id));
}

/**
 * An object can be given only to a role that may create in its schema, and grants come last in an
 * archive. Superusers are not asked; whoever has the rights of the one who owns the schemas has it.
 */
async function ownersWithoutRights(
  { session, info, owner }: Pick<Scene, 'session' | 'info' | 'owner'>,
  owners: readonly string[],
): Promise<CheckResult[]> {
  if (info.isSuperuser) return [];
  const rows = await session.query<{ name: string }>(
    `SELECT rolname AS name FROM pg_roles
      WHERE rolname = ANY ($1::text[]) AND NOT pg_has_role(oid, current_user, 'USAGE')
        AND NOT pg_has_role(oid, $2::name, 'USAGE')`,
    [owners, owner],
  );
  return rows.map(({ name }) =>
    failed(
      `gives/${name}`,
      `the backup has objects of ${name}, which cannot be given to it in place`,
      'set RESTORE_ADMIN_URL to a superuser, or give the role CREATEDB and unset RESTORE_IN_PLACE.',
    ),
  );
}

/** Catalogs of what a database holds; parts of other objects go with those. */
const OBJECTS = [
  ['pg_class', 'relowner', "relkind IN ('r', 'p', 'v', 'm', 'S', 'f')"],
  ['pg_proc', 'proowner'],
  ['pg_type', 'typowner', "typtype IN ('b', 'd', 'e', 'r') AND typelem = 0"],
  ['pg_namespace', 'nspowner', "nspname !~ '^pg_(toast_)?temp_'"],
  ['pg_operator', 'oprowner'],
  ['pg_opclass', 'opcowner'],
  ['pg_opfamily', 'opfowner'],
  ['pg_collation', 'collowner'],
  ['pg_conversion', 'conowner'],
  ['pg_ts_dict', 'dictowner'],
  ['pg_ts_config', 'cfgowner'],
  ['pg_language', 'lanowner'],
  ['pg_foreign_data_wrapper', 'fdwowner'],
  ['pg_foreign_server', 'srvowner'],
  ['pg_event_trigger', 'evtowner'],
  ['pg_publication', 'pubowner'],
  ['pg_statistic_ext', 'stxowner'],
  ['pg_largeobject_metadata', 'lomowner'],
  ['pg_default_acl', 'defaclrole'],
] as const;

/** Objects that this role may not drop, because they belong to somebody that it can't act for. */
async function ownership(session: Session, role: string): Promise<CheckResult[]> {
  const each = OBJECTS.map(
    ([catalog, owner, condition = 'true']) =>
      `SELECT ${owner} AS owner, '${catalog}'::regclass AS class, oid FROM ${catalog}
        WHERE oid >= 16384 AND ${condition} AND NOT pg_has_role(${owner}, 'USAGE')`,
  );
  const rows = await session.query<{ owner: string; objects: string[]; n: string }>(
    `SELECT pg_get_userbyid(o.owner)::text AS owner, count(*)::text AS n,
            (array_agg(pg_describe_object(o.class, o.oid, 0)))[1:${MOST_NAMES}] AS objects
       FROM (${each.join(' UNION ALL ')}) o
      WHERE NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = o.class AND e.objid = o.oid
                           AND e.objsubid = 0 AND e.deptype IN ('e', 'i'))
      GROUP BY 1 ORDER BY 1`,
  );
  return rows.map(({ owner, objects, n }) =>
    failed(
      `owner-of/${owner}`,
      `${n} objects of ${owner} could not be replaced: ${objects.join(', ')}`,
      `let a superuser run: GRANT ${ident(owner)} TO ${ident(role)}; or give the role CREATEDB and unset RESTORE_IN_PLACE.`,
    ),
  );
}

/** What can't be dropped and made again in a transaction. */
async function immovable(session: Session, oid: string): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  const subscriptions = await session.query<{ name: string }>(
    'SELECT subname AS name FROM pg_subscription WHERE subdbid = $1::oid ORDER BY 1',
    [oid],
  );
  for (const { name } of subscriptions) {
    const hint = `run DROP SUBSCRIPTION ${ident(name)}; and create it again after the restore.`;
    results.push(failed('subscription', `the subscription ${name} is in the way`, hint));
  }
  const tables = await readExtensionTables(session);
  if (tables.length > 0) {
    const names = tables.slice(0, MOST_NAMES).map(({ schema, name }) => `${schema}.${name}`);
    const what = `extensions keep data of yours in their own tables: ${names.join(', ')}`;
    const hint =
      'such rows cannot be replaced in place: give the role CREATEDB and unset RESTORE_IN_PLACE.';
    results.push(failed('extension-data', what, hint));
  }
  return results;
}

async function publicSchema(session: Session, role: string): Promise<CheckResult[]> {
  const [row] = await session.query<{ may: boolean }>(
    "SELECT has_schema_privilege(oid, 'CREATE') AS may FROM pg_namespace WHERE nspname = 'public'",
  );
  if (row?.may !== false) return [];
  const grant = `in this database, let a superuser run: GRANT CREATE ON SCHEMA public TO ${ident(role)};`;
  return [failed('public', 'may not create anything in the schema public', grant)];
}

/** The safety dump needs at most what the rows take; compressed it is smaller. */
async function requireRoom(session: Session, folder: string): Promise<void> {
  const { bytes } = await session.queryOne<{ bytes: string }>(
    `SELECT (coalesce(sum(pg_table_size(oid)), 0) + pg_table_size('pg_largeobject'))::text AS bytes
       FROM pg_class WHERE relkind = 'r' AND oid >= 16384`,
  );
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  const needed = Number(bytes) + RESERVE_BYTES;
  if (free >= needed) return;
  throw new DropbackError(
    'disk/full',
    `the safety dump may need ${needed} bytes in ${folder}, ${free} are free`,
    { hint: 'free space on that volume, or make it larger.', facts: { folder, needed, free } },
  );
}

function create(name: string): string {
  return `let a superuser run: CREATE ROLE ${ident(name)} NOLOGIN;`;
}

function failed(id: string, message: string, hint: string): CheckResult {
  return { id: `postgres/in-place/${id}`, status: 'failed', message, hint };
}

function foreignFile(role: string): DropbackError {
  return new DropbackError(
    'drop/in-place-foreign',
    'only a backup of our own (an archive that the catalogue knows) is restored in place',
    {
      hint: `a foreign file needs a staging database: let a superuser run ALTER ROLE ${ident(role)} CREATEDB CREATEROLE; and unset RESTORE_IN_PLACE.`,
    },
  );
}

function noDatabase(name: string, owner: string): DropbackError {
  return new DropbackError(
    'drop/not-possible-here',
    `the database ${JSON.stringify(name)} doesn't exist, and nothing can be restored in place`,
    { hint: `create it: CREATE DATABASE ${ident(name)} OWNER ${ident(owner)};` },
  );
}
