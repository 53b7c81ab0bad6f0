import { DropbackError } from '../../../runtime/errors.ts';
import type { Inspection, PreviousDatabase, RestoreTarget } from '../../engine.ts';
import { installedClients, parseVersion } from '../clients.ts';
import { readToc } from '../restore/archive-list.ts';
import { stagingBudget } from '../restore/budget.ts';
import { detailsOf } from '../restore/details.ts';
import { readDatabase } from '../restore/live.ts';
import { newNames } from '../restore/names.ts';
import { requireAll } from '../restore/require-all.ts';
import type { Server } from '../restore/server.ts';
import { readServerId } from '../restore/server-identity.ts';
import type { Session } from '../session.ts';
import { lockRoom } from './lock-room.ts';
import { identify, measureSafety, safetyPaths } from './safety-file.ts';
import type { InPlaceState } from './state.ts';

/** Old and new content lie side by side until COMMIT: the budget is for both. */
export async function planInPlace(
  session: Session,
  server: Server,
  inspection: Inspection,
  target: RestoreTarget,
): Promise<InPlaceState> {
  if (target.kind === 'side') throw noSide();
  const details = detailsOf(inspection);
  const live = await readDatabase(session, server.liveName);
  if (!live || live.oid !== details.liveOid) throw changedSince(server.liveName);
  return {
    engine: 'postgres',
    mode: 'in-place',
    kind: 'restore',
    id: newNames().id,
    liveName: live.name,
    serverId: await readServerId(session),
    liveOid: live.oid,
    archive: null,
    archiveMajor: details.dumpMajor ?? 0,
    tablespaces: details.tablespaces,
    expected: JSON.stringify(details.expectedTables ?? []),
    transaction: null,
    budgetBytes: live.sizeBytes + inspection.stagingBudgetBytes,
    expectedBytes: live.sizeBytes + details.expectedBytes,
  };
}

/** The safety dump is loaded in the same way; it is trusted because it is what we wrote, to the bit. */
export async function planUndoInPlace(
  session: Session,
  server: Server,
  folder: string,
  previous: PreviousDatabase,
  signal: AbortSignal,
): Promise<InPlaceState> {
  const bytes = await measureSafety(folder, previous);
  const { final: archive } = safetyPaths(folder, previous.id);
  if (bytes === undefined || (await identify(archive, signal)) !== previous.identity) {
    throw previousGone(previous, bytes);
  }
  const live = await readDatabase(session, server.liveName);
  if (!live) throw changedSince(server.liveName);
  await requireLocks(server, live.name, signal);
  const expectedBytes = live.sizeBytes;
  return {
    engine: 'postgres',
    mode: 'in-place',
    kind: 'undo',
    id: newNames().id,
    liveName: live.name,
    serverId: await readServerId(session),
    liveOid: live.oid,
    archive,
    archiveMajor: await majorOf(archive, signal),
    tablespaces: true,
    expected: null,
    transaction: null,
    budgetBytes:
      live.sizeBytes +
      stagingBudget(
        Math.max(expectedBytes, 10 * bytes),
        live.sizeBytes,
        server.options.maxStagingBytes,
      ),
    expectedBytes: live.sizeBytes + expectedBytes,
  };
}

/** Throws `request/not-possible-here`. */
async function requireLocks(server: Server, database: string, signal: AbortSignal): Promise<void> {
  await using inLive = await server.open({ applicationName: 'dropback plan', database, signal });
  requireAll(await lockRoom(inLive), 'request/not-possible-here');
}

async function majorOf(path: string, signal: AbortSignal): Promise<number> {
  const client = (await installedClients(signal)).findLast((one) => one.programs.pg_restore);
  if (!client) return 0;
  const toc = await readToc(client, { path, fileName: path }, { isOurs: true }, signal);
  return parseVersion(toc.dumpVersion ?? '0')[0];
}

function noSide(): DropbackError {
  return new DropbackError(
    'drop/in-place-side',
    'a side database cannot be made in place: it would have to be created',
    { hint: 'let a superuser run ALTER ROLE … CREATEDB, and unset RESTORE_IN_PLACE.' },
  );
}

function changedSince(name: string): DropbackError {
  return new DropbackError(
    'restore/live-changed',
    `the database ${JSON.stringify(name)} is another one than when the file was inspected`,
    { hint: 'somebody created, renamed or replaced it meanwhile: start the restore again.' },
  );
}

function previousGone(previous: PreviousDatabase, bytes: number | undefined): DropbackError {
  const what = bytes === undefined ? 'is no longer there' : 'is not what was written there';
  return new DropbackError('restore/previous-gone', `the safety dump ${previous.name} ${what}`, {
    hint: 'it was removed or changed since; restore a backup instead.',
    facts: { name: previous.name },
  });
}
