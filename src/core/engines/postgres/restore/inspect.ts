import type { Manifest } from '../../../archive/manifest.ts';
import type { UnpackedDrop } from '../../../archive/unpacked.ts';
import { DropbackError } from '../../../runtime/errors.ts';
import type { Inspection, StepContext } from '../../engine.ts';
import { chooseClient } from '../clients.ts';
import { readServerInfo } from '../server-info.ts';
import type { Session } from '../session.ts';
import { expectedBytes, stagingBudget } from './budget.ts';
import { type Content, readContent } from './content.ts';
import { type InspectionDetails, toDetails } from './details.ts';
import { isGiven, requireExtensions } from './extensions.ts';
import { readDatabase } from './live.ts';
import { loadRoleChecks } from './load-url.ts';
import { leftBehind, liveObstacles } from './obstacles.ts';
import { readProfile } from './profile.ts';
import { choosePsql } from './psql.ts';
import { requireAll } from './require-all.ts';
import { controlRights } from './rights.ts';
import { type Comparison, compareWithLive } from './same-application.ts';
import { readScene, type Scene } from './scene.ts';
import type { Server } from './server.ts';
import { needsStandIn } from './stand-in.ts';

/** What of the file decides which rights are needed. */
export interface FileNeeds {
  readonly foreign: boolean;
  readonly missingRoles: readonly string[];
  readonly owners: readonly string[];
  readonly tables: number;
}

/** What depends on the way in which the content gets into the live database. */
export interface InspectRules {
  /** The live database stays and gets other content: its extensions are there already. */
  readonly inPlace: boolean;
  requireRights(server: Server, scene: Scene, file: FileNeeds, signal: AbortSignal): Promise<void>;
}

const byStaging: InspectRules = { inPlace: false, requireRights };

/**
 * Reads the whole content and everything on the server that the later steps depend on. What would
 * fail then is refused now. Changes nothing.
 */
export async function inspectDrop(
  server: Server,
  drop: UnpackedDrop,
  context: StepContext,
  rules: InspectRules = byStaging,
): Promise<Inspection> {
  const { signal } = context;
  const trusted = drop.manifest?.engine === 'postgres' && drop.format !== 'postgres-plain';
  await using session = await server.open({ applicationName: 'dropback inspect', signal });
  const info = await readServerInfo(session);
  const obstacles = await liveObstacles(
    session,
    server,
    info,
    await readDatabase(session, server.liveName),
  );
  // In place, no database is made in any tablespace.
  requireAll(obstacles.filter(({ id }) => !(rules.inPlace && id === 'postgres/live/tablespace')));
  const { progress } = context;
  const { inPlace } = rules;
  const needs = { serverMajor: info.major, trusted, inPlace, signal, progress };
  const content = await readContent(drop, needs);
  await requireClient(drop, content, info.major, signal);
  if (!trusted && content.superuserOnly.length > 0) throw needsSuperuser(content);
  const scene = await readScene(session, server, info, signal);
  const excuse = drop.force ? 'forced' : trusted ? 'own' : undefined;
  const comparison = compareWithLive(content, scene.liveTables, excuse);
  const present = rules.inPlace ? scene.liveExtensions : [];
  const needed = content.extensions.filter(({ name }) => !present.includes(name));
  await requireExtensions(session, needed, {
    trusted,
    isSuperuser: info.isSuperuser,
    inLive: scene.liveExtensions,
  });
  const roles = await sortRoles(session, content.roles);
  const { owners } = content;
  const tables = content.tables.length;
  const file = { foreign: !trusted, missingRoles: roles.missing, owners, tables };
  await rules.requireRights(server, scene, file, signal);
  return await describe(server, drop, content, scene, { trusted, roles, comparison, inPlace });
}

/** The programs of the later steps, so that a missing one is found now. */
async function requireClient(
  drop: UnpackedDrop,
  content: Content,
  serverMajor: number,
  signal: AbortSignal,
): Promise<void> {
  if (drop.format === 'postgres-plain') {
    await choosePsql(serverMajor, signal);
    return;
  }
  const archiveMajor = content.dumpMajor ?? 0;
  await chooseClient({ serverMajor, archiveMajor, programs: ['pg_restore'] }, signal);
}

async function sortRoles(
  session: Session,
  names: readonly string[],
): Promise<{ known: string[]; missing: string[] }> {
  const rows = await session.query<{ name: string }>(
    'SELECT rolname AS name FROM pg_roles WHERE rolname = ANY ($1::text[])',
    [names],
  );
  const there = new Set(rows.map((row) => row.name));
  const known = names.filter((name) => there.has(name));
  // Predefined roles of newer servers can't be made; grants to them are left out.
  const missing = names.filter((name) => !there.has(name) && !/^pg_|^(public|none|)$/.test(name));
  return { known, missing };
}

async function requireRights(server: Server, scene: Scene, file: FileNeeds): Promise<void> {
  const { session, info, live, owner } = scene;
  const profile = live && (await readProfile(session, live.oid));
  const makesLoadRole = file.foreign && !server.load;
  const standsIn = file.foreign && (await needsStandIn(session, owner));
  const createsRoles = makesLoadRole || standsIn || file.missingRoles.length > 0;
  const actsAs = file.owners;
  requireAll(await controlRights(session, { info, live, profile, owner, actsAs, createsRoles }));
  if (file.foreign && server.load) requireAll(await loadRoleChecks(session, server.load.user));
}

async function describe(
  server: Server,
  drop: UnpackedDrop,
  content: Content,
  scene: Scene,
  found: {
    readonly trusted: boolean;
    readonly roles: { known: string[]; missing: string[] };
    readonly comparison: Comparison;
    readonly inPlace: boolean;
  },
): Promise<Inspection> {
  const { live, session } = scene;
  const manifest = found.trusted ? drop.manifest : undefined;
  const expected = expectedBytes(content.text, manifest, content.tables.length);
  const missing = await missingTablespaces(session, content.tablespaces);
  const extensionSchemas = content.extensions.flatMap(({ schema }) => schema ?? []);
  const details: InspectionDetails = {
    foreign: !found.trusted,
    dumpMajor: content.dumpMajor ?? null,
    expectedBytes: expected,
    extensions: content.extensions,
    existingSchemas: [...new Set(['public', ...extensionSchemas.filter((name) => !isGiven(name))])],
    missingRoles: found.roles.missing,
    tablespaces: missing.length === 0,
    notValid: manifest?.database.notValid ?? null,
    liveOid: live?.oid ?? null,
    owner: scene.owner,
    expectedTables: manifest?.tables ?? null,
  };
  return {
    engine: 'postgres',
    producer: content.producer,
    ...(content.sourceVersion === undefined ? {} : { sourceVersion: content.sourceVersion }),
    trusted: found.trusted,
    ...(manifest ? { expectedTables: manifest.tables } : {}),
    roles: found.roles,
    extensions: content.extensions.map(({ name }) => name),
    differences: found.comparison.differences,
    warnings: [
      ...content.warnings,
      ...found.comparison.warnings,
      ...withoutRows(manifest),
      ...missing.map((name) => `the tablespace ${name} is unknown here: the default one is used`),
      ...(live && !found.inPlace ? await leftBehind(session, live.oid) : []),
    ],
    stagingBudgetBytes: stagingBudget(
      expected,
      live?.sizeBytes ?? 0,
      server.options.maxStagingBytes,
    ),
    details: toDetails(details),
  };
}

const MOST_LEFT_OUT = 20;

/** Whoever restores such a backup loses those rows: said before anything is stopped. */
function withoutRows(manifest: Manifest | undefined): string[] {
  const tables = manifest?.leftOut ?? [];
  if (tables.length === 0) return [];
  const names = tables.slice(0, MOST_LEFT_OUT).map(({ schema, name, rows }) => {
    return rows === undefined ? `${schema}.${name}` : `${schema}.${name} (${rows} rows left out)`;
  });
  const more = tables.length > MOST_LEFT_OUT ? ` and ${tables.length - MOST_LEFT_OUT} more` : '';
  return [`these tables come back empty, BACKUP_EXCLUDE_TABLE_DATA: ${names.join(', ')}${more}`];
}

async function missingTablespaces(session: Session, names: readonly string[]): Promise<string[]> {
  const rows = await session.query<{ name: string }>(
    `SELECT spcname AS name FROM pg_tablespace
      WHERE spcname = ANY ($1::text[]) AND has_tablespace_privilege(oid, 'CREATE')`,
    [names],
  );
  const there = new Set(rows.map((row) => row.name));
  return names.filter((name) => !there.has(name));
}

function needsSuperuser(content: Content): DropbackError {
  const what = content.superuserOnly.join(', ');
  return new DropbackError(
    'drop/needs-superuser',
    `only a superuser can create what the file holds: ${what}`,
    {
      hint: 'a foreign file never runs with such rights. Restore one of our own backups of that database, or leave those objects out of the dump.',
      facts: { objects: content.superuserOnly },
    },
  );
}
