import type { TableCount } from '../../../archive/manifest.ts';
import type { UnpackedDrop } from '../../../archive/unpacked.ts';
import { DropbackError, messageOf } from '../../../runtime/errors.ts';
import type { Inspection, StepContext } from '../../engine.ts';
import type { Location } from '../owner.ts';
import type { BrokenReferences, FileFacts, Survey } from '../protocol.ts';
import type { SqliteTool } from '../tool-client.ts';
import { brokenReferencesLine, shortened, warningsOf } from '../warnings.ts';
import { readContent, type SoundContent } from './content.ts';
import { differences, requireSameApplication, tablesMissing } from './differences.ts';
import { type Live, lookAtLive } from './live.ts';

/** Budget of a staging file where none is set: this many times the larger of live and content. */
const BUDGET_FACTOR = 1.5;

export interface InspectSettings {
  /** RESTORE_MAX_STAGING_BYTES. */
  readonly maxStagingBytes?: number;
}

export async function inspect(
  tool: SqliteTool,
  location: Location,
  settings: InspectSettings,
  drop: UnpackedDrop,
  context: StepContext,
): Promise<Inspection> {
  const { signal } = context;
  const live = await lookAtLive(tool, location, signal);
  const liveBytes = live.kind === 'sound' ? live.facts.bytes : 0;
  const budget =
    settings.maxStagingBytes ?? Math.ceil(BUDGET_FACTOR * Math.max(liveBytes, drop.contentBytes));
  // Without a budget of the user's a text may grow: an index takes bytes that its text doesn't.
  const mostBytes = settings.maxStagingBytes ?? Math.max(budget * 4, 64 * 1024 * 1024);
  const content = await readContent(tool, drop, mostBytes, context);
  const stagingBudgetBytes = Math.max(budget, settings.maxStagingBytes ?? content.facts.bytes);
  requireWithin(content.facts.bytes, stagingBudgetBytes);
  const expected = expectedTables(drop, content);
  const warnings = contentWarnings(drop, content);
  const compared = await compare(tool, location, live, drop, content, signal);
  if (live.kind === 'sound') requireRoom(live.facts, content.facts.bytes, content.facts.pageSize);
  return {
    engine: 'sqlite',
    producer: drop.manifest ? `dropback ${drop.manifest.dropback}` : 'SQLite',
    ...(drop.manifest ? { sourceVersion: drop.manifest.database.version } : {}),
    trusted: drop.manifest !== undefined,
    expectedTables: expected,
    roles: { known: [], missing: [] },
    extensions: [],
    differences: compared.differences,
    warnings: [...warnings, ...compared.warnings],
    stagingBudgetBytes,
    details: {
      content: content.path,
      bytes: content.facts.bytes,
      journalMode: drop.manifest?.database.properties['journalMode'] ?? content.facts.journalMode,
      foreignKeys: content.facts.foreignKeys.map((each) => ({ ...each })),
    },
  };
}

/** A file of ours must hold exactly the rows that its manifest says. */
function expectedTables(drop: UnpackedDrop, { facts }: SoundContent): readonly TableCount[] {
  const { manifest } = drop;
  if (!manifest) return facts.tables;
  const wrong = differences(manifest.tables, facts.tables);
  if (wrong.length === 0) return manifest.tables;
  throw new DropbackError('drop/manifest-mismatch', `not what its manifest says: ${wrong[0]}`, {
    hint: 'the archive and its manifest do not belong together: use another backup.',
    facts: { differences: wrong.slice(0, 20) },
  });
}

function contentWarnings({ manifest, format }: UnpackedDrop, { facts }: SoundContent): string[] {
  const warnings = warningsOf(facts);
  if (!manifest && format === 'sqlite-file' && facts.journalMode === 'wal') {
    warnings.push(
      'the file was copied out of WAL mode: if that was without its -wal, the last changes are missing',
    );
  }
  return warnings;
}

interface Compared {
  readonly differences: string[];
  readonly warnings: string[];
}

/** With the live database, read by its owner while the application works. */
async function compare(
  tool: SqliteTool,
  { path, runAs }: Location,
  live: Live,
  drop: UnpackedDrop,
  { facts }: SoundContent,
  signal: AbortSignal,
): Promise<Compared> {
  if (live.kind === 'missing') return { differences: ['the file is created'], warnings: [] };
  if (live.kind === 'damaged') return notCompared(live.why);
  const ask = (bytesOf: readonly string[], rows: boolean, foreignKeys: boolean): Promise<Survey> =>
    tool.ask('survey', { path, bytesOf, rows, foreignKeys }, { runAs, signal });
  try {
    const before = await ask([], true, facts.foreignKeys.length > 0 && !drop.manifest);
    const missing = tablesMissing(before.tables, facts.tables);
    if (!drop.manifest && !drop.force) {
      const bytes = missing.length > 0 ? (await ask(missing, false, false)).bytes : {};
      requireSameApplication({
        live: before.tables,
        dump: facts.tables,
        missingBytes: Object.values(bytes).reduce<number>((sum, each) => sum + each, 0),
        liveBytes: (live.facts.pages - live.facts.freePages) * live.facts.pageSize,
      });
      requireReferences(facts.foreignKeys, before.foreignKeys);
    }
    return { differences: shortened(differences(before.tables, facts.tables), 200), warnings: [] };
  } catch (error) {
    if (error instanceof DropbackError && error.code === 'database/corrupt') {
      return notCompared(messageOf(error));
    }
    throw error;
  }
}

function notCompared(why: string): Compared {
  return { differences: [], warnings: [`the live database could not be compared: ${why}`] };
}

/**
 * References to nothing are refused in a foreign file, unless the live database has such ones
 * between the same tables: then the application lives with them.
 */
function requireReferences(
  dump: readonly BrokenReferences[],
  live: readonly BrokenReferences[],
): void {
  const known = new Set(live.map(({ table, parent }) => JSON.stringify([table, parent])));
  const fresh = dump.filter(({ table, parent }) => !known.has(JSON.stringify([table, parent])));
  const [first] = fresh;
  if (!first) return;
  throw new DropbackError('drop/foreign-keys', brokenReferencesLine(first), {
    hint: 'rows are missing in the dump; if it is meant so, drop it again with .force before the extension: name.force.db (dropback restore: --force).',
    facts: { foreignKeys: fresh.slice(0, 20) },
  });
}

function requireWithin(bytes: number, budget: number): void {
  if (bytes <= budget) return;
  throw new DropbackError('drop/over-budget', `${bytes} bytes are more than the disk budget`, {
    hint: 'raise RESTORE_MAX_STAGING_BYTES if the database has really grown that much.',
    facts: { bytes, budget },
  });
}

/** Beside the live file: staging, for VACUUM twice; in place also the kept copy and the journal. */
function requireRoom(live: FileFacts, bytes: number, pageSize: number): void {
  const staging = pageSize === live.pageSize ? bytes : 2 * bytes;
  const isInPlace = live.journalMode !== 'wal' || live.isMount || live.links > 1;
  const needBytes = staging + (isInPlace ? 2 * live.bytes : 0);
  if (live.freeBytes >= needBytes) return;
  throw new DropbackError('disk/full', `${needBytes} bytes are needed beside the database`, {
    hint: `only ${live.freeBytes} bytes are free there: free space, or make the volume larger.`,
    facts: { needBytes, freeBytes: live.freeBytes },
  });
}
