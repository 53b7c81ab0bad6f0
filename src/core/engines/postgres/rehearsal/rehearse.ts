import { randomBytes } from 'node:crypto';
import type { Manifest } from '../../../archive/manifest.ts';
import type { PostgresConnection } from '../../../config/config.ts';
import type { Rehearsal, RehearsalRequest } from '../../engine.ts';
import { chooseClient, parseVersion } from '../clients.ts';
import { readToc } from '../restore/archive-list.ts';
import { expectedBytes, stagingBudget, withinBudget } from '../restore/budget.ts';
import { createStaging } from '../restore/create-staging.ts';
import { dropDatabase } from '../restore/drop-database.ts';
import { dropLoadRole } from '../restore/load-role.ts';
import { applicationName, namesOf, scratchName } from '../restore/names.ts';
import { createPlaceholders, dropPlaceholders } from '../restore/placeholders.ts';
import { rollBackPrepared } from '../restore/prepared.ts';
import type { Server, SessionNeeds } from '../restore/server.ts';
import { terminateNamed } from '../restore/terminate.ts';
import { loadSettings, planLoad } from '../restore/tuning.ts';
import type { TocFilter } from '../script/toc.ts';
import type { Session } from '../session.ts';
import { compareScratch } from './compare.ts';
import { loadScratch, type ScratchLoaded } from './load.ts';
import { type ArchiveSource, chooseLoader, ownExtensions, prepareExtensions } from './loader.ts';
import { sourceModel } from './source-model.ts';

const CLEAN_UP_MS = 60_000;
const TERMINATE_MOST_MS = 30_000;

/** Everything that is made on the server for one rehearsal. */
interface Scratch {
  readonly id: string;
  readonly name: string;
  readonly liveName: string;
  /** Not made where control may not make roles. */
  readonly loadRole: string;
  /** Roles that the archive names and the server doesn't know. */
  readonly names: readonly string[];
}

/** One load into a new scratch database, which is gone when this settles. */
export async function rehearseOnce(
  server: Server,
  request: RehearsalRequest,
  jobs: number | undefined,
  signal: AbortSignal,
): Promise<Rehearsal> {
  const id = randomBytes(8).toString('hex');
  await using session = await server.open({ applicationName: applicationName(id), signal });
  const names = await missingRoles(session, request.manifest);
  const { loadRole } = namesOf(id);
  const scratch = { id, name: scratchName(id), liveName: server.liveName, loadRole, names };
  try {
    const loaded = await load(server, session, scratch, request, jobs, signal);
    request.onProgress('comparing');
    await using inScratch = await server.openAs(loaded.loader, within(scratch, signal));
    const compared = await compareScratch(inScratch, { ...request, ...loaded }, signal);
    return { ...compared, warnings: [...loaded.warnings, ...compared.warnings] };
  } finally {
    await cleanUp(server, scratch, request);
  }
}

function within({ id, name }: Scratch, signal: AbortSignal): SessionNeeds {
  return { applicationName: applicationName(id), database: name, signal };
}

async function load(
  server: Server,
  session: Session,
  scratch: Scratch,
  { manifest, archive, workFolder, log, onProgress }: RehearsalRequest,
  wantedJobs: number | undefined,
  signal: AbortSignal,
): Promise<ScratchLoaded & { loader: PostgresConnection }> {
  const client = await chooseClient(
    {
      serverMajor: session.major,
      archiveMajor: parseVersion(manifest.tool.version)[0],
      programs: ['pg_restore'],
    },
    signal,
  );
  const toc = await readToc(client, archive, { isOurs: true, roles: manifest.roles }, signal);
  await createPlaceholders(session, scratch);
  const plan = await planLoad(session, wantedJobs, signal);
  const { jobs } = plan;
  const expected = expectedBytes(undefined, manifest);
  // Our own archive, of a size that is known: only a load that runs wild is to be stopped.
  const budgetBytes = stagingBudget(2 * expected, 0, undefined);
  const { name, liveName, loadRole } = scratch;
  const loader = await chooseLoader(server, session, { name: loadRole, jobs, budgetBytes });
  const guest = loader === server.control ? undefined : loader.user;
  const oid = await createStaging(session, { name, guest, liveName }, sourceModel(manifest));
  const source = { client, archive, toc, workFolder };
  const filter = await filterFor(server, loader, scratch, source, signal);
  const watch = {
    session,
    oid,
    budgetBytes,
    expectedBytes: expected,
    serverDataDir: undefined,
    clock: server.options.clock,
    progress: (fraction: number) => onProgress(`restoring, ${Math.floor(fraction * 100)}%`),
  };
  const base = {
    path: archive.path,
    client,
    identity: loader,
    database: name,
    applicationName: applicationName(scratch.id),
    jobs,
    tolerateTransactionTimeout: client.major >= 17 && session.major < 17,
    settings: await loadSettings(session, plan),
    log,
  };
  const open = (until: AbortSignal) => server.openAs(loader, within(scratch, until));
  const loaded = await withinBudget(watch, signal, (bounded) =>
    loadScratch({ base, archive, workFolder, toc, filter, open }, bounded),
  );
  return { ...loaded, loader };
}

async function filterFor(
  server: Server,
  loader: PostgresConnection,
  scratch: Scratch,
  source: ArchiveSource,
  signal: AbortSignal,
): Promise<TocFilter> {
  if (loader === server.control) return ownExtensions();
  await using inScratch = await server.open(within(scratch, signal));
  return await prepareExtensions(inScratch, loader, source, signal);
}

/** Predefined roles of newer servers can't be made; grants to them are left out. */
async function missingRoles(session: Session, manifest: Manifest): Promise<string[]> {
  const rows = await session.query<{ name: string }>(
    'SELECT rolname AS name FROM pg_roles WHERE rolname = ANY ($1::text[])',
    [manifest.roles],
  );
  const known = new Set(rows.map(({ name }) => name));
  return manifest.roles.filter((name) => !known.has(name) && !/^pg_|^(public|none)$/.test(name));
}

/** With a signal of its own: an aborted rehearsal leaves nothing behind either. */
async function cleanUp(server: Server, scratch: Scratch, { log }: RehearsalRequest): Promise<void> {
  const signal = AbortSignal.timeout(CLEAN_UP_MS);
  const { clock } = server.options;
  try {
    await using session = await server.open({ applicationName: 'dropback clean up', signal });
    const bounds = { clock, signal, mostMs: TERMINATE_MOST_MS };
    await terminateNamed(session, applicationName(scratch.id), bounds);
    await dropDatabase(session, { name: scratch.name, kind: 'scratch', oid: null }, (database) =>
      rollBackPrepared(server, session, database, signal),
    );
    await dropLoadRole(session, scratch.loadRole);
    const left = await dropPlaceholders(session, scratch);
    if (left.length > 0) log.warn({ roles: left }, 'roles made for a rehearsal are still in use');
  } catch (error) {
    log.warn({ error, name: scratch.name }, 'a scratch database is left for the next rehearsal');
  }
}
