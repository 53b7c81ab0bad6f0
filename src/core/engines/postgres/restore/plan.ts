import { DropbackError } from '../../../runtime/errors.ts';
import type { Inspection, PreviousDatabase, RestoreTarget } from '../../engine.ts';
import { fitsName } from '../quoting.ts';
import type { Session } from '../session.ts';
import { detailsOf, type InspectionDetails } from './details.ts';
import { oidOfName } from './live.ts';
import { newNames, parseDatabaseName } from './names.ts';
import { measure } from './previous.ts';
import type { Server } from './server.ts';
import { readServerId } from './server-identity.ts';
import { isStandIn, standInFor } from './stand-in.ts';
import type { PostgresRestoreState } from './state.ts';

/** Names for a restore, and the identity of what it would replace. Changes nothing. */
export async function planRestore(
  session: Session,
  server: Server,
  inspection: Inspection,
  target: RestoreTarget,
): Promise<PostgresRestoreState> {
  const details = detailsOf(inspection);
  const names = newNames();
  const liveName = target.kind === 'live' ? server.liveName : target.name;
  const liveOid = await oidOfName(session, liveName);
  if (target.kind === 'side') requireSideName(target.name, liveOid);
  else if ((liveOid ?? null) !== details.liveOid) throw changedSinceInspection(liveName);
  return {
    engine: 'postgres',
    kind: 'restore',
    id: names.id,
    target: target.kind,
    rehearsal: target.kind === 'live' && target.rehearsal === true,
    liveName,
    serverId: await readServerId(session),
    liveOid: target.kind === 'live' ? (liveOid ?? null) : null,
    owner: details.owner,
    stagingName: names.staging,
    stagingOid: null,
    previousName: names.previous,
    loadRole: details.foreign && !server.load ? names.loadRole : null,
    placeholders: await choosePlaceholders(session, server, details),
  };
}

/**
 * Every role that the file names and the server doesn't know, but the stand-ins that get the content:
 * what a placeholder still owns at the end is given to the heir, and the rest of it dropped.
 */
async function choosePlaceholders(
  session: Session,
  server: Server,
  { foreign, missingRoles, owner }: InspectionDetails,
): Promise<string[]> {
  if (!foreign) return missingRoles.filter((role) => !isStandIn(role));
  const standIn = await standInFor(session, server.liveName, owner);
  return missingRoles.filter((role) => role !== standIn?.name);
}

/** The kept database takes staging's place; what is live now is kept in turn, under a new name. */
export async function planUndo(
  session: Session,
  server: Server,
  previous: PreviousDatabase,
): Promise<PostgresRestoreState> {
  if ((await measure(session, previous)) === undefined) {
    throw new DropbackError(
      'restore/previous-gone',
      `the previous database ${previous.name} is no longer there`,
      {
        hint: 'it was removed or renamed since, and stays listed until its time is over; restore a backup instead.',
        facts: { name: previous.name, oid: previous.identity },
      },
    );
  }
  const names = newNames();
  return {
    engine: 'postgres',
    kind: 'undo',
    id: names.id,
    target: 'live',
    liveName: server.liveName,
    serverId: await readServerId(session),
    liveOid: (await oidOfName(session, server.liveName)) ?? null,
    owner: server.applicationUser,
    stagingName: previous.name,
    stagingOid: previous.identity,
    previousName: names.previous,
    loadRole: null,
    placeholders: [],
  };
}

function requireSideName(name: string, oid: string | undefined): void {
  const reserved = ['postgres', 'template0', 'template1'].includes(name);
  if (!fitsName(name) || reserved || parseDatabaseName(name)) {
    throw new DropbackError('restore/side-name', `${JSON.stringify(name)} cannot be that name`, {
      hint: 'choose another name for the side database, of at most 63 bytes.',
    });
  }
  if (oid === undefined) return;
  throw new DropbackError(
    'restore/side-exists',
    `a database ${JSON.stringify(name)} exists already`,
    {
      hint: 'choose another name, or drop that database first: a side restore replaces nothing.',
    },
  );
}

function changedSinceInspection(name: string): DropbackError {
  return new DropbackError(
    'restore/live-changed',
    `the database ${JSON.stringify(name)} is another one than when the file was inspected`,
    { hint: 'somebody created, renamed or replaced it meanwhile: start the restore again.' },
  );
}
