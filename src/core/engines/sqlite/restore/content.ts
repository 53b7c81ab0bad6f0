import { rm } from 'node:fs/promises';
import type { UnpackedDrop } from '../../../archive/unpacked.ts';
import { DropbackError } from '../../../runtime/errors.ts';
import type { StepContext } from '../../engine.ts';
import { SIDE_SUFFIXES } from '../names.ts';
import type { ContentFacts } from '../protocol.ts';
import type { SqliteTool } from '../tool-client.ts';

/** Far more than a value or statement of SQLite's largest size; Node itself takes a fifth of it. */
const MEMORY = { dataBytes: 1.5 * 1024 ** 3 };

/** A drop as a database file, read whole and found sound. */
export interface SoundContent {
  readonly path: string;
  readonly facts: ContentFacts;
}

/**
 * A text dump is loaded into a file beside it in the drop's own folder; from there on both kinds are
 * the same. Nothing here is done as the owner of the live database, or comes near it.
 */
export async function readContent(
  tool: SqliteTool,
  drop: UnpackedDrop,
  mostBytes: number,
  { signal, progress }: StepContext,
): Promise<SoundContent> {
  if (drop.contentBytes === 0) throw emptyDrop();
  try {
    const path = await asFile(tool, drop, mostBytes, { signal, onProgress: progress });
    const facts = await tool.ask('inspect', { path }, { signal, limits: MEMORY });
    requireSound(facts);
    return { path, facts };
  } catch (error) {
    throw asRefusal(error);
  }
}

/** Where the database file is that is staged; loaded anew where it is gone (a restarted daemon). */
async function asFile(
  tool: SqliteTool,
  drop: UnpackedDrop,
  mostBytes: number,
  options: { signal: AbortSignal; onProgress: (fraction: number) => void },
): Promise<string> {
  if (drop.format === 'sqlite-file') return drop.path;
  if (drop.format !== 'sqlite-plain') throw otherEngine(drop.format);
  const path = `${drop.path}.loaded.db`;
  for (const suffix of ['', ...SIDE_SUFFIXES]) await rm(path + suffix, { force: true });
  // Its temporary files are bounded too: a sort can be larger than what it sorts.
  const limits = { ...MEMORY, fileBytes: mostBytes };
  await tool.ask('load', { from: drop.path, to: path, mostBytes }, { ...options, limits });
  return path;
}

function requireSound({ damage }: ContentFacts): void {
  const [first] = damage;
  if (first === undefined) return;
  const facts = { damage: damage.slice(0, 20) };
  if (first.startsWith('truncated')) {
    throw new DropbackError('drop/truncated', `the database file is ${first}`, {
      hint: 'copy it again; a file copied while the application was writing is not whole: use `sqlite3 FILE ".backup out.db"`.',
      facts,
    });
  }
  throw new DropbackError('drop/corrupt', `the database file is damaged: ${first}`, {
    hint: 'use another backup. A file copied without its -wal, or while the application was writing, is damaged too: use `sqlite3 FILE ".backup out.db"`.',
    facts,
  });
}

/** What is wrong with a dropped file is not wrong with the database. */
function asRefusal(error: unknown): unknown {
  if (!(error instanceof DropbackError)) return error;
  // It ran into its limits, or into a fault of SQLite's that this file provokes.
  const isFatal = error.code === 'tool/failed';
  if (!isFatal && !error.code.startsWith('database/')) return error;
  const code = {
    'database/not-sqlite': 'drop/unknown-content',
    'database/corrupt': 'drop/corrupt',
  }[error.code];
  return new DropbackError(code ?? 'drop/not-readable', `the dropped file: ${error.message}`, {
    hint: 'use another backup, or make one with `sqlite3 FILE ".backup out.db"`.',
    facts: error.facts,
    cause: error,
  });
}

function emptyDrop(): DropbackError {
  return new DropbackError('drop/empty', 'the file is empty', {
    hint: 'look at the backup that it came from; an empty file is a valid SQLite database without tables, but never a backup.',
  });
}

function otherEngine(format: string): DropbackError {
  return new DropbackError('drop/wrong-engine', `the live database is SQLite, the dump ${format}`, {
    hint: 'drop a SQLite file or the output of `sqlite3 FILE .dump`.',
  });
}
