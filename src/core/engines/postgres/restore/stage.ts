import { rm } from 'node:fs/promises';
import type { UnpackedDrop } from '../../../archive/unpacked.ts';
import type { PostgresConnection } from '../../../config/config.ts';
import { DropbackError } from '../../../runtime/errors.ts';
import type { Inspection, StepContext } from '../../engine.ts';
import { chooseClient } from '../clients.ts';
import type { OwnershipStatement } from '../script/ownership.ts';
import type { Session } from '../session.ts';
import { entryFilter, leftOutOf, readToc } from './archive-list.ts';
import { readArchiveOwnership } from './archive-ownership.ts';
import { withinBudget } from './budget.ts';
import { createStaging } from './create-staging.ts';
import { detailsOf, type InspectionDetails } from './details.ts';
import { createExtensions } from './extensions.ts';
import { prepareGivenRole } from './given-load-role.ts';
import { writeList } from './list-file.ts';
import { type DatabaseFacts, readDatabase } from './live.ts';
import { loadArchive } from './load-archive.ts';
import { DEADLOCK_CODE } from './load-error.ts';
import { createLoadRole } from './load-role.ts';
import { loadScript } from './load-script.ts';
import { applicationName } from './names.ts';
import { createPlaceholders } from './placeholders.ts';
import { prepareForJobs } from './prepare-archive.ts';
import { requireNonePrepared } from './prepared.ts';
import { choosePsql } from './psql.ts';
import { lendPublic } from './public-schema.ts';
import type { Server } from './server.ts';
import { createStandIn, isStandIn } from './stand-in.ts';
import { type PostgresRestoreState, toState } from './state.ts';
import { loadSettings, planLoad } from './tuning.ts';

/** What the check needs to know of a load; lives in memory, because a crash starts over anyway. */
export interface Loaded {
  /** Undefined for our own archives, which control has loaded itself. */
  readonly identity: PostgresConnection | undefined;
  readonly ownership: readonly OwnershipStatement[];
  readonly warnings: readonly string[];
}

export interface Staged {
  readonly state: PostgresRestoreState;
  readonly loaded: Loaded;
}

interface Stage {
  readonly server: Server;
  readonly session: Session;
  readonly state: PostgresRestoreState & { readonly stagingOid: string };
  readonly drop: UnpackedDrop;
  readonly details: InspectionDetails;
  readonly jobs: number;
  readonly loader: PostgresConnection | undefined;
}

/** Roles, database, extensions, then the load itself, within the disk budget. */
export async function stageDrop(
  server: Server,
  planned: PostgresRestoreState,
  drop: UnpackedDrop,
  inspection: Inspection,
  context: StepContext,
): Promise<Staged> {
  const details = detailsOf(inspection);
  const { signal } = context;
  await using session = await server.open({ applicationName: applicationName(planned.id), signal });
  // Durable before anything exists, so that a crash cannot leave what nobody knows of.
  await context.save(toState(planned));
  const asked = server.oneByOne.has(drop.sha256) ? 1 : server.options.jobs;
  const plan = await planLoad(session, asked, signal);
  const { jobs } = plan;
  await createPlaceholders(session, { ...planned, names: planned.placeholders });
  await createKnownStandIns(session, server.liveName, planned, details);
  const { stagingBudgetBytes: budgetBytes } = inspection;
  const bounds = { jobs, budgetBytes };
  const loader = await loadIdentity(server, session, planned, details, bounds, signal);
  const model = await modelDatabase(session, server);
  const staging = {
    name: planned.stagingName,
    ...(loader ? { guest: loader.user } : { owner: planned.owner }),
    liveName: server.liveName,
  };
  const stagingOid = await createStaging(session, staging, model);
  const state = { ...planned, stagingOid };
  await context.save(toState(state));
  const stage: Stage = { server, session, state, drop, details, jobs, loader };
  const watch = {
    session,
    oid: stagingOid,
    budgetBytes,
    expectedBytes: details.expectedBytes,
    serverDataDir: server.options.serverDataDir,
    clock: server.options.clock,
    progress: context.progress,
  };
  const settings = await loadSettings(session, plan);
  if (loader) await prepareForLoader(stage, loader, signal);
  const loaded = await withinBudget(watch, signal, (within) => load(stage, settings, within));
  await requireNonePrepared(session, planned.stagingName);
  context.progress(1);
  return { state, loaded: { ...loaded, identity: loader } };
}

/**
 * On another server a file's stand-ins are missing. A backup's are made there, since what they own
 * must not become its owner's; of a foreign file the one that will own everything: policies name it.
 */
async function createKnownStandIns(
  session: Session,
  liveName: string,
  { owner, placeholders }: PostgresRestoreState,
  { missingRoles }: InspectionDetails,
): Promise<void> {
  const known = missingRoles.filter((role) => isStandIn(role) && !placeholders.includes(role));
  for (const name of known) await createStandIn(session, { name, liveName, owner });
}

async function loadIdentity(
  server: Server,
  session: Session,
  state: PostgresRestoreState,
  details: InspectionDetails,
  bounds: { readonly jobs: number; readonly budgetBytes: number },
  signal: AbortSignal,
): Promise<PostgresConnection | undefined> {
  if (!details.foreign) return undefined;
  if (state.loadRole === null) {
    const { load } = server;
    if (load) await prepareGivenRole(server, session, load, signal);
    return load;
  }
  const role = { name: state.loadRole, liveName: server.liveName, ...bounds };
  return createLoadRole(session, role, server.control);
}

/** Like the live database; where there is none, like a database that was just made by hand. */
async function modelDatabase(session: Session, server: Server): Promise<DatabaseFacts> {
  const model =
    (await readDatabase(session, server.liveName)) ?? (await readDatabase(session, 'template1'));
  if (model) return model;
  throw new DropbackError('database/no-template', 'the server has no database template1', {
    hint: 'create the empty target database by hand, then drop the file again.',
  });
}

async function prepareForLoader(
  stage: Stage,
  loader: PostgresConnection,
  signal: AbortSignal,
): Promise<void> {
  await using inStaging = await stage.server.open({
    applicationName: applicationName(stage.state.id),
    database: stage.state.stagingName,
    signal,
  });
  await lendPublic(inStaging, loader.user);
  await createExtensions(inStaging, stage.details.extensions, loader.user);
}

async function load(
  stage: Stage,
  settings: Readonly<Record<string, string | number>>,
  signal: AbortSignal,
): Promise<Omit<Loaded, 'identity'>> {
  return stage.drop.format === 'postgres-plain'
    ? loadPlain(stage, settings, signal)
    : loadPacked(stage, settings, signal);
}

async function loadPlain(
  stage: Stage,
  settings: Readonly<Record<string, string | number>>,
  signal: AbortSignal,
): Promise<Omit<Loaded, 'identity'>> {
  const { server, session, state, drop, details, loader } = stage;
  if (!loader) throw new RangeError('a script is loaded by the load identity alone');
  const result = await loadScript(
    {
      script: drop,
      client: await choosePsql(session.major, signal),
      identity: loader,
      database: state.stagingName,
      applicationName: applicationName(state.id),
      serverMajor: session.major,
      existingSchemas: details.existingSchemas,
      settings,
      log: server.options.log,
    },
    signal,
  );
  const warnings = result.unparsed.map(
    ({ line, text }) => `line ${line}, not understood and left out: ${text}`,
  );
  for (const kind of ['event trigger', 'publication', 'subscription'] as const) {
    const count = result.leftOut[kind] ?? 0;
    if (count > 0)
      warnings.push(`${kind}s are left out, create them by hand (${count} in the file)`);
  }
  return { ownership: result.ownership, warnings };
}

async function loadPacked(
  stage: Stage,
  settings: Readonly<Record<string, string | number>>,
  signal: AbortSignal,
): Promise<Omit<Loaded, 'identity'>> {
  const { server, session, state, drop, details, jobs, loader } = stage;
  const dumpMajor = details.dumpMajor ?? 0;
  const need = {
    serverMajor: session.major,
    archiveMajor: dumpMajor,
    programs: ['pg_restore'] as const,
  };
  const client = await chooseClient(need, signal);
  const foreign = loader !== undefined;
  if (!foreign) await prepareForJobs(drop, jobs, server.options.log, signal);
  const toc = await readToc(client, drop, { isOurs: !foreign }, signal);
  const filter = entryFilter(details);
  const listFile = `${drop.path}.list`;
  try {
    await writeList(listFile, toc, filter);
    const warnings = await loadArchive(
      {
        path: drop.path,
        listFile,
        client,
        identity: loader ?? server.control,
        database: state.stagingName,
        applicationName: applicationName(state.id),
        jobs,
        exact: !foreign,
        tablespaces: !foreign && details.tablespaces,
        tolerateTransactionTimeout: client.major >= 17 && session.major < 17,
        settings,
        log: server.options.log,
      },
      signal,
    );
    if (!foreign) return { ownership: [], warnings };
    const owners = await readArchiveOwnership(client, drop, toc, session.major, signal);
    const all = [...warnings, ...leftOutOf(toc, filter), ...owners.warnings];
    return { ownership: owners.statements, warnings: all };
  } catch (error) {
    if (error instanceof DropbackError && error.code === DEADLOCK_CODE) {
      server.oneByOne.add(drop.sha256);
    }
    throw error;
  } finally {
    await rm(listFile, { force: true });
  }
}
