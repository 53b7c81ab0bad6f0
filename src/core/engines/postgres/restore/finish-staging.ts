import { DropbackError } from '../../../runtime/errors.ts';
import type { StagedCheck, StepContext } from '../../engine.ts';
import { ident } from '../quoting.ts';
import type { Session } from '../session.ts';
import { carryOver } from './carry-over.ts';
import { type ContentCheck, checkContent } from './check.ts';
import { dropRoles } from './clean-up.ts';
import type { InspectionDetails } from './details.ts';
import { emptiedTables } from './emptied.ts';
import { tidyLoadRole } from './given-load-role.ts';
import { applicationName } from './names.ts';
import { handOver } from './ownership-apply.ts';
import { emptyPlaceholders } from './placeholders.ts';
import { requireNonePrepared } from './prepared.ts';
import { type DatabaseProfile, readProfile } from './profile.ts';
import { requireSwappable } from './ready.ts';
import type { Server } from './server.ts';
import type { Loaded } from './stage.ts';
import { enterStaging, forgetChanges } from './staging-sessions.ts';
import { createStandIn, equipStandIn, standInFor } from './stand-in.ts';
import type { PostgresRestoreState } from './state.ts';

/**
 * The check step: content first, as whoever loaded it; then control takes everything over and puts
 * on what the live database has around it. Afterwards no role of the load is left, except in a
 * rehearsal of a foreign file, whose content is handed to nobody.
 */
export async function finishStaging(
  server: Server,
  state: PostgresRestoreState,
  loaded: Loaded,
  details: InspectionDetails,
  context: StepContext,
): Promise<StagedCheck> {
  const { signal } = context;
  const oid = requireOid(state);
  const staging = { id: state.id, name: state.stagingName, oid };
  await using maintenance = await server.open({
    applicationName: applicationName(state.id),
    signal,
  });
  // The check logs in anew: nothing that the file has set on its role may keep it out.
  if (loaded.identity) await tidyLoadRole(server, maintenance, loaded.identity, signal);
  const content = await checkAsLoader(server, state, loaded, details, context);
  const warnings = [...loaded.warnings, ...content.warnings];
  if (details.foreign && details.liveOid !== null && state.target === 'live') {
    warnings.push(...(await emptiedTables(server, content.tables, signal)));
  }
  if (loaded.identity && state.loadRole !== null) {
    await maintenance.query(`ALTER ROLE ${ident(state.loadRole)} NOLOGIN`);
  }
  const heir = await chooseHeir(server, maintenance, state, loaded);
  {
    if (heir !== state.owner) warnings.push(standInWarning(state, heir));
    await using inStaging = await enterStaging(server, maintenance, staging, signal);
    // What counting and ANALYZE have called may have done it; from here on nobody of the file's can.
    await requireNonePrepared(maintenance, state.stagingName);
    warnings.push(...(await takeOver(inStaging, server, state, loaded, heir)));
  }
  if (!staysApart(state, loaded)) {
    const left = await dropRoles(server, maintenance, state, signal);
    warnings.push(
      ...left.map((role) => `the role made for the restore could not be dropped: ${role}`),
    );
  }
  for (const role of state.placeholders) {
    warnings.push(
      `the role ${role} is unknown here: what it owned belongs to ${heir}, its grants are gone`,
    );
  }
  const wanted = await wantedProfile(maintenance, server, state);
  await carryOver(maintenance, staging, wanted);
  if (state.target === 'live' && state.rehearsal !== true) {
    await requireSwappable(maintenance, server, 'drop/not-possible-here');
  }
  return { tables: content.tables, warnings };
}

/**
 * Handed over, the functions of a file would run with the owner's rights, in the server's own
 * autovacuum for example: that is for content that goes live, not for a file that is only looked at.
 */
function staysApart(state: PostgresRestoreState, loaded: Loaded): boolean {
  return state.rehearsal === true && loaded.identity !== undefined;
}

async function checkAsLoader(
  server: Server,
  state: PostgresRestoreState,
  loaded: Loaded,
  details: InspectionDetails,
  context: StepContext,
): Promise<ContentCheck> {
  await using session = await server.openAs(loaded.identity ?? server.control, {
    applicationName: applicationName(state.id),
    database: state.stagingName,
    signal: context.signal,
  });
  const expected = {
    tables: details.expectedTables ?? undefined,
    notValid: details.notValid ?? undefined,
  };
  return await checkContent(session, expected, context);
}

/** Who gets what nobody else owns: of a foreign file, never a superuser. */
async function chooseHeir(
  server: Server,
  maintenance: Session,
  state: PostgresRestoreState,
  loaded: Loaded,
): Promise<string> {
  if (!loaded.identity) return state.owner;
  const standIn = await standInFor(maintenance, server.liveName, state.owner);
  if (!standIn) return state.owner;
  if (!staysApart(state, loaded)) await createStandIn(maintenance, standIn);
  return standIn.name;
}

function standInWarning({ owner }: PostgresRestoreState, heir: string): string {
  return `the owner of the database, ${owner}, is a superuser: what the file brings belongs to the role ${heir} instead, which has no rights; its triggers and defaults still run with the rights of whoever writes to its tables, so give the application a role that is no superuser`;
}

async function takeOver(
  inStaging: Session,
  server: Server,
  state: PostgresRestoreState,
  loaded: Loaded,
  heir: string,
): Promise<string[]> {
  const { owner, placeholders } = state;
  if (loaded.identity && !staysApart(state, loaded)) await forgetChanges(inStaging);
  const warnings = loaded.identity
    ? await handOver(inStaging, {
        loadRole: loaded.identity.user,
        owner,
        heir,
        isOwnRole: state.loadRole !== null,
        statements: loaded.ownership,
        onlyForesee: staysApart(state, loaded),
      })
    : [];
  if (staysApart(state, loaded)) return warnings;
  await emptyPlaceholders(inStaging, placeholders, heir);
  if (heir !== owner) {
    await equipStandIn(inStaging, { name: heir, liveName: server.liveName, owner });
  }
  return warnings;
}

/** The live database's own; a side database gets its owner and who may connect, nothing else. */
export async function wantedProfile(
  session: Session,
  server: Server,
  state: PostgresRestoreState,
): Promise<DatabaseProfile> {
  const [row] = await session.query<{ oid: string }>(
    'SELECT oid::text AS oid FROM pg_database WHERE datname = $1',
    [server.liveName],
  );
  const live = row && (await readProfile(session, row.oid));
  if (live && state.target === 'live') return live;
  const acl = live?.acl ?? (await defaultAcl(session, state.owner));
  return {
    owner: state.owner,
    connectionLimit: -1,
    isTemplate: false,
    settings: [],
    labels: [],
    comment: null,
    acl,
  };
}

function defaultAcl(session: Session, owner: string): Promise<DatabaseProfile['acl'][number][]> {
  return session.query(
    `SELECT pg_get_userbyid(a.grantor) AS grantor,
            CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee) END AS grantee,
            a.privilege_type AS privilege, a.is_grantable AS grantable
       FROM pg_roles r, aclexplode(acldefault('d', r.oid)) a
      WHERE r.rolname = $1 ORDER BY 1, 2 NULLS FIRST, 3, 4`,
    [owner],
  );
}

function requireOid(state: PostgresRestoreState): string {
  if (state.stagingOid !== null) return state.stagingOid;
  throw new DropbackError('restore/not-staged', `restore ${state.id} has no staging database`, {
    hint: 'a restore that was interrupted between its steps starts over from the file.',
  });
}
