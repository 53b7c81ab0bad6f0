import { rm } from 'node:fs/promises';
import type { UnpackedDrop } from '../../../archive/unpacked.ts';
import { DropbackError } from '../../../runtime/errors.ts';
import { installedClients, type PostgresClient, parseVersion } from '../clients.ts';
import type { ScriptSummary } from '../script/summary.ts';
import type { Toc } from '../script/toc.ts';
import { inspectByTool } from '../script/tool-client.ts';
import { holdsData, readTablespaces, readToc } from './archive-list.ts';
import type { TextSize } from './budget.ts';
import { inspectDefinitions } from './definitions.ts';
import { readWhole, writeDefinitions } from './full-read.ts';
import type { Incoming } from './same-application.ts';

/** What a dropped file holds, whatever its format. */
export interface Content extends Incoming {
  readonly producer: string;
  readonly sourceVersion: string | undefined;
  readonly dumpMajor: number | undefined;
  /** Undefined where it wasn't read whole. */
  readonly text: TextSize | undefined;
  readonly roles: readonly string[];
  /** Of these, the owners of objects, where control itself has to act for them. */
  readonly owners: readonly string[];
  readonly extensions: readonly { readonly name: string; readonly schema: string | null }[];
  readonly tablespaces: readonly string[];
  /** What only a superuser could create: refused in a foreign file. */
  readonly superuserOnly: readonly string[];
  readonly warnings: readonly string[];
}

export interface ContentNeeds {
  readonly serverMajor: number;
  readonly trusted: boolean;
  /** It goes into the live database itself: what is wrong with it must be known before. */
  readonly inPlace: boolean;
  readonly signal: AbortSignal;
  readonly progress: (fraction: number) => void;
}

/**
 * Reads the whole file, save one of our own that is staged: its checksum is that of an archive which
 * was read back whole before it was listed, and its load takes nothing from the application. Throws `drop/*` for everything that could not be loaded as it is.
 */
export function readContent(drop: UnpackedDrop, needs: ContentNeeds): Promise<Content> {
  switch (drop.format) {
    case 'postgres-plain':
      return readPlain(drop, needs);
    case 'postgres-custom':
    case 'postgres-directory':
      return readArchive(drop, needs);
    default:
      throw new DropbackError(
        'drop/wrong-engine',
        `${drop.fileName} is an SQLite file, and this is a PostgreSQL database`,
        { hint: 'drop it where an SQLite database is configured.' },
      );
  }
}

async function readPlain(drop: UnpackedDrop, needs: ContentNeeds): Promise<Content> {
  const { signal, progress } = needs;
  const summary = drop.script ?? (await inspectByTool(drop, { signal, onProgress: progress }));
  return { ...fromSummary(summary), text: { bytes: summary.bytes, lines: summary.lines } };
}

async function readArchive(drop: UnpackedDrop, needs: ContentNeeds): Promise<Content> {
  const { signal, serverMajor } = needs;
  const client = await newestRestore(signal);
  const roles = needs.trusted ? (drop.manifest?.roles ?? []) : [];
  const toc = await readToc(client, drop, { isOurs: needs.trusted, roles }, signal);
  needs.progress(0.1);
  const isProven = needs.trusted && !needs.inPlace;
  const text = isProven ? undefined : await readWhole(client, drop, signal);
  needs.progress(0.9);
  if (needs.trusted) {
    return fromManifest(drop, toc, text, await readTablespaces(client, drop, signal));
  }
  const file = `${drop.path}.definitions.sql`;
  try {
    await writeDefinitions(client, drop, toc, file, signal);
    const summary = await inspectDefinitions(file, serverMajor, signal);
    const isEmpty = summary.tables.every((table) => !table.created);
    const hasData = holdsData(toc);
    return {
      ...fromSummary(summary),
      text,
      dataOnly: hasData && isEmpty && !toc.types.has('TABLE'),
      schemaOnly: !hasData,
    };
  } finally {
    await rm(file, { force: true });
  }
}

/** Our own archive: the manifest says what a look into its statements would say. */
function fromManifest(
  drop: UnpackedDrop,
  toc: Toc,
  text: TextSize | undefined,
  tablespaces: readonly string[],
): Content {
  const { manifest } = drop;
  if (!manifest) throw new RangeError('only an archive with a manifest is trusted');
  const owners = new Set<string>();
  for (const { owner } of toc.entries) owners.add(owner);
  return {
    producer: `pg_dump ${toc.dumpVersion ?? manifest.tool.version}`,
    sourceVersion: toc.databaseVersion ?? manifest.database.version,
    dumpMajor: parseVersion(toc.dumpVersion ?? manifest.tool.version)[0],
    text,
    tables: manifest.tables,
    roles: manifest.roles,
    owners: manifest.roles.filter((role) => owners.has(role)),
    extensions: manifest.extensions.map((name) => ({ name, schema: null })),
    tablespaces,
    superuserOnly: [],
    dataOnly: false,
    // A backup of an empty database may empty it again: that is what was asked for.
    schemaOnly: false,
    warnings: manifest.warnings,
  };
}

function fromSummary(summary: ScriptSummary): Omit<Content, 'text'> {
  const { dumpVersion, foreignServers, foreignDataWrappers, untrustedLanguages } = summary;
  return {
    producer: dumpVersion === undefined ? 'pg_dump' : `pg_dump ${dumpVersion}`,
    sourceVersion: summary.databaseVersion,
    dumpMajor: dumpVersion === undefined ? undefined : parseVersion(dumpVersion)[0],
    tables: summary.tables.filter((table) => table.created && table.kind === 'table'),
    roles: summary.roles,
    owners: [],
    extensions: summary.extensions.map(({ name, schema }) => ({ name, schema: schema ?? null })),
    tablespaces: summary.tablespaces,
    superuserOnly: [
      ...untrustedLanguages.map((name) => `functions in the language ${name}`),
      ...foreignServers.map((name) => `the foreign server ${name}`),
      ...foreignDataWrappers.map((name) => `the foreign data wrapper ${name}`),
    ],
    dataOnly: summary.dataOnly,
    schemaOnly: summary.schemaOnly,
    warnings: summary.warnings,
  };
}

/** The newest pg_restore reads every archive that an older one reads. */
async function newestRestore(signal: AbortSignal): Promise<PostgresClient> {
  const installed = await installedClients(signal);
  const newest = installed.findLast((client) => client.programs.pg_restore);
  if (newest) return newest;
  throw new DropbackError('tool/missing', 'no pg_restore is installed', {
    hint: 'install the package postgresql-client; the dropback image has it.',
    facts: { program: 'pg_restore' },
  });
}
