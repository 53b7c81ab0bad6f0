import type { Manifest } from '../../../archive/manifest.ts';
import type { Dump } from '../../engine.ts';
import {
  countLargeObjects,
  readDatabaseSettings,
  readExtensions,
  readExtensionTables,
  readNotValid,
  readSequences,
  type SequencePosition,
} from '../catalog.ts';
import { sqlState } from '../connection-errors.ts';
import { readSavedRoles } from '../globals/read-saved-roles.ts';
import { readDatabaseFacts, readDatabaseSize } from '../server-info.ts';
import type { Session } from '../session.ts';
import { readRoles } from './catalog-roles.ts';

/** Keys of `database.properties` that the read-back relies on. */
export const LARGE_OBJECTS = 'largeObjects';
export const EXTENSION_TABLES = 'extensionTables';
/** Only where rows weren't counted: how many tables' rows the archive must hold; null: not known. */
export const TABLES_EXPECTED = 'tablesExpected';

/** How far each sequence had come at the snapshot: JSON of `[schema, name, value, ascending]`. */
const SEQUENCE_POSITIONS = 'sequencePositions';

/** What a manifest notes of the sequences; undefined where it notes nothing. */
export function notedSequences({
  database,
}: Pick<Manifest, 'database'>): SequencePosition[] | undefined {
  const json = database.properties[SEQUENCE_POSITIONS];
  if (typeof json !== 'string') return undefined;
  const rows = JSON.parse(json) as [string, string, string, boolean][];
  return rows.map(([schema, name, last, isAscending]) => ({ schema, name, last, isAscending }));
}

export type DumpDescription = Pick<Manifest, 'database' | 'roles' | 'extensions'> &
  Required<Pick<Dump, 'savedRoles'>>;

/** Reads, in the session's snapshot, what the manifest says of the database besides its rows. */
export async function describeDatabase(
  session: Session,
  database: string,
  rolePasswords: boolean,
): Promise<DumpDescription> {
  const extensions = await readExtensions(session);
  const roles = await readRoles(session);
  return {
    database: {
      name: database,
      version: session.version,
      sizeBytes: await readDatabaseSize(session, database),
      properties: await readProperties(session, database, extensions),
      notValid: await readNotValid(session),
    },
    roles,
    savedRoles: await readSavedRoles(session, roles, rolePasswords),
    extensions: extensions.map((extension) => extension.name),
  };
}

/** Marks a dump whose rows are counted in its archive alone (BACKUP_ROW_COUNTS=archive). */
export function withoutCounts(dump: Dump, tables: number, excluded: readonly string[]): Dump {
  const expected = excluded.length > 0 ? null : tables;
  const properties = { ...dump.database.properties, [TABLES_EXPECTED]: expected };
  return { ...dump, database: { ...dump.database, properties } };
}

async function readProperties(
  session: Session,
  database: string,
  extensions: readonly { name: string; version: string }[],
): Promise<Record<string, string | number | null>> {
  const facts = await readDatabaseFacts(session, database);
  const settings = await readDatabaseSettings(session);
  const extensionTables = await readExtensionTables(session);
  const sequences = await positionsOf(session);
  return {
    owner: facts?.owner ?? null,
    encoding: facts?.encoding ?? null,
    collate: facts?.collate ?? null,
    ctype: facts?.ctype ?? null,
    localeProvider: facts?.localeProvider ?? null,
    locale: facts?.locale ?? null,
    icuRules: facts?.icuRules ?? null,
    collationVersion: facts?.collationVersion ?? null,
    tablespace: facts?.tablespace ?? null,
    connectionLimit: facts?.connectionLimit ?? null,
    [LARGE_OBJECTS]: await countLargeObjects(session),
    // Sequences don't respect snapshots: their values are of the moment at which they were read.
    sequences: 'as of the dump, not of the snapshot',
    ...(sequences ? { [SEQUENCE_POSITIONS]: sequences } : {}),
    ...(extensionTables.length > 0 ? { [EXTENSION_TABLES]: JSON.stringify(extensionTables) } : {}),
    ...Object.fromEntries(extensions.map(({ name, version }) => [`extension:${name}`, version])),
    ...Object.fromEntries([...settings].map(([name, value]) => [`setting:${name}`, value])),
  };
}

/**
 * Read after the snapshot was taken and before pg_dump reads them: no value in the snapshot's rows is
 * beyond them, and none in the archive is before them. One that is dropped or locked meanwhile is no
 * reason to fail.
 */
async function positionsOf(session: Session): Promise<string | undefined> {
  await session.query('SAVEPOINT sequences');
  try {
    const positions = await readSequences(session);
    await session.query('RELEASE SAVEPOINT sequences');
    return JSON.stringify(
      positions.map(({ schema, name, last, isAscending }) => [schema, name, last, isAscending]),
    );
  } catch (error) {
    if (sqlState(error) === undefined || session.lost.aborted) throw error;
    await session.query('ROLLBACK TO SAVEPOINT sequences');
    await session.query('RELEASE SAVEPOINT sequences');
    return undefined;
  }
}
