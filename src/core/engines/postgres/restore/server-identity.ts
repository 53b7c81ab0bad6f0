import type { RestoreState } from '../../engine.ts';
import { sqlState } from '../connection-errors.ts';
import type { Session } from '../session.ts';
import { parseDatabaseName } from './names.ts';
import type { Server } from './server.ts';

const NOT_PERMITTED = '42501';
const ASK_MOST_MS = 10_000;
/** A server that is away is asked again after so long. */
const AGAIN_MS = 60_000;

/**
 * Which server this is: a number made with its data folder, which its standbys and copies have too.
 * Null where it may not be read. Another server may have a database of the same name, and OIDs that
 * begin at the same number.
 */
export async function readServerId(session: Session): Promise<string | null> {
  try {
    const { id } = await session.queryOne<{ id: string }>(
      'SELECT system_identifier::text AS id FROM pg_control_system()',
    );
    return id;
  } catch (error) {
    if (sqlState(error) === NOT_PERMITTED) return null;
    throw error;
  }
}

/**
 * Whether a restore with this state was one on this server. After pg_upgrade the number is another,
 * the databases are the same: where one is there that nobody else would name so, it is.
 */
export async function isOnServer(session: Session, state: RestoreState): Promise<boolean> {
  const { serverId, stagingName, stagingOid, previousName, liveOid } = state;
  if (typeof serverId !== 'string') return true;
  const found = await readServerId(session);
  if (found === null || found === serverId) return true;
  const ours = [
    { name: stagingName, oid: stagingOid },
    { name: previousName, oid: liveOid },
  ].filter(({ name, oid }) => typeof oid === 'string' && parseDatabaseName(String(name)));
  const rows = await session.query(
    'SELECT FROM pg_database WHERE (datname, oid::text) IN (SELECT * FROM unnest($1::text[], $2::text[]))',
    [ours.map(({ name }) => name), ours.map(({ oid }) => oid)],
  );
  return rows.length > 0;
}

/** The same, asked once a state. Where the server doesn't answer, its states are taken for its own. */
export class KnownStates {
  readonly #server: Server;
  readonly #isHere = new Map<unknown, boolean>();
  #nextAt = Number.NEGATIVE_INFINITY;

  constructor(server: Server) {
    this.#server = server;
  }

  async isHere(state: RestoreState): Promise<boolean> {
    const { id, serverId } = state;
    const known = this.#isHere.get(id);
    if (known !== undefined || typeof serverId !== 'string') return known ?? true;
    const { clock } = this.#server.options;
    if (clock.monotonic() < this.#nextAt) return true;
    try {
      const signal = AbortSignal.timeout(ASK_MOST_MS);
      const needs = { applicationName: 'dropback identity', signal };
      await using session = await this.#server.open(needs);
      const isHere = await isOnServer(session, state);
      this.#isHere.set(id, isHere);
      return isHere;
    } catch {
      // That it is away is told by whoever needs it.
      this.#nextAt = clock.monotonic() + AGAIN_MS;
      return true;
    }
  }
}
