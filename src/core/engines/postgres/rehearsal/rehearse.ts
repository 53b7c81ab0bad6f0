import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Manifest } from '../../../archive/manifest.ts';
import type { Rehearsal, RehearsalRequest } from '../../engine.ts';
import { chooseClient, parseVersion } from '../clients.ts';
import { readToc } from '../restore/archive-list.ts';
import { expectedBytes, stagingBudget, withinBudget } from '../restore/budget.ts';
import { createStaging } from '../restore/create-staging.ts';
import { dropDatabase } from '../restore/drop-database.ts';
import { loadArchive } from '../restore/load-archive.ts';
import { isSuperuser } from '../restore/load-role.ts';
import { applicationName, scratchName } from '../restore/names.ts';
import { createPlaceholders, dropPlaceholders } from '../restore/placeholders.ts';
import type { Server } from '../restore/server.ts';
import { terminateNamed } from '../restore/terminate.ts';
import { chooseJobs, loadSettings } from '../restore/tuning.ts';
import { tocList } from '../script/toc.ts';
import { readConnectionRoom } from '../server-info.ts';
import type { Session } from '../session.ts';
import { compareScratch } from './compare.ts';
import { sourceModel } from './source-model.ts';

const CLEAN_UP_MS = 60_000;
const TERMINATE_MOST_MS = 30_000;

/** Everything that is made on the server for one rehearsal. */
interface Scratch {
  readonly id: string;
  readonly name: string;
  readonly liveName: string;
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
  const scratch: Scratch = { id, name: scratchName(id), liveName: server.liveName, names };
  try {
    const loaded = await load(server, session, scratch, request, jobs, signal);
    request.onProgress('comparing');
    await using inScratch = await server.open({
      applicationName: applicationName(id),
      database: scratch.name,
      signal,
    });
    const compared = await compareScratch(inScratch, request, signal);
    return { ...compared, warnings: [...loaded, ...compared.warnings] };
  } finally {
    await cleanUp(server, scratch, request);
  }
}

async function load(
  server: Server,
  session: Session,
  scratch: Scratch,
  { manifest, archive, workFolder, log, onProgress }: RehearsalRequest,
  wantedJobs: number | undefined,
  signal: AbortSignal,
): Promise<string[]> {
  const client = await chooseClient(
    {
      serverMajor: session.major,
      archiveMajor: parseVersion(manifest.tool.version)[0],
      programs: ['pg_restore'],
    },
    signal,
  );
  const toc = await readToc(client, archive, signal, manifest.roles);
  const listFile = join(workFolder, 'entries.list');
  // A database that holds a subscription can't be dropped, and nobody is to be subscribed to.
  const omit = { types: ['SUBSCRIPTION', 'SUBSCRIPTION TABLE'] };
  await writeFile(listFile, tocList(toc, omit), { mode: 0o600 });
  await createPlaceholders(session, scratch);
  const owner = server.control.user;
  const { name, liveName } = scratch;
  const oid = await createStaging(session, { name, owner, liveName }, sourceModel(manifest));
  const jobs = chooseJobs(wantedJobs, (await readConnectionRoom(session)).free);
  const exact = await isSuperuser(session);
  const expected = expectedBytes({ bytes: 0, lines: 0 }, manifest);
  const watch = {
    session,
    oid,
    // Our own archive, of a size that is known: only a load that runs wild is to be stopped.
    budgetBytes: stagingBudget(2 * expected, 0, undefined),
    expectedBytes: expected,
    serverDataDir: undefined,
    clock: server.options.clock,
    progress: (fraction: number) => onProgress(`restoring, ${Math.floor(fraction * 100)}%`),
  };
  const settings = await loadSettings(session, jobs);
  const warnings = await withinBudget(watch, signal, (within) =>
    loadArchive(
      {
        path: archive.path,
        listFile,
        client,
        identity: server.control,
        database: name,
        applicationName: applicationName(scratch.id),
        jobs,
        exact,
        tablespaces: false,
        tolerateTransactionTimeout: client.major >= 17 && session.major < 17,
        settings,
        log,
      },
      within,
    ),
  );
  return exact ? warnings : [...warnings, 'owners and grants were left out: no superuser'];
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
    await dropDatabase(session, { name: scratch.name, kind: 'scratch', oid: null });
    const left = await dropPlaceholders(session, scratch);
    if (left.length > 0) log.warn({ roles: left }, 'roles made for a rehearsal are still in use');
  } catch (error) {
    log.warn({ error, name: scratch.name }, 'a scratch database is left for the next rehearsal');
  }
}
