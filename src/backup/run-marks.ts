import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { BackupEngine } from '../core/engines/engine.ts';
import type { Logger } from '../core/observability/log.ts';
import type { Clock } from '../core/runtime/clock.ts';
import { ensureFolder, removeDurably, writeDurably } from '../core/runtime/durable-files.ts';
import { isAbort } from '../core/runtime/errors.ts';
import {
  fateOf,
  ownIdentity,
  type ProcessIdentity,
  processIdentity,
} from '../core/runtime/process/process-identity.ts';

export interface MarkDependencies {
  readonly engine: BackupEngine;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A run whose process ended before it could say what came of it. */
export interface CutShortRun {
  /** ISO 8601, UTC. */
  readonly startedAt: string;
}

interface Mark extends CutShortRun {
  readonly process: ProcessIdentity;
}

const MARK_FILE = /^run-[0-9a-f]{16}\.json$/;
const markSchema: z.ZodType<Mark> = z.object({
  startedAt: z.iso.datetime(),
  process: processIdentity,
});

/**
 * Runs in hand, a file each in the database's own folder: of one whose process was killed nobody else
 * would ever hear.
 */
export class RunMarks {
  readonly #folder: string;
  readonly #deps: MarkDependencies;

  /** `folder`: `ownFolder`. */
  constructor(folder: string, deps: MarkDependencies) {
    this.#folder = folder;
    this.#deps = deps;
  }

  /** Disposed once what came of the run is noted and told. Never throws: a run goes on without. */
  async begin(): Promise<AsyncDisposable> {
    const { clock, log } = this.#deps;
    const path = join(this.#folder, `run-${randomBytes(8).toString('hex')}.json`);
    const process = await ownIdentity();
    if (!process) return { async [Symbol.asyncDispose]() {} };
    const mark: Mark = { startedAt: clock.now().toISOString(), process };
    try {
      await ensureFolder(this.#folder);
      await writeDurably(path, `${JSON.stringify(mark)}\n`);
    } catch (error) {
      log.warn({ error }, 'that a run is in hand could not be noted');
    }
    return { [Symbol.asyncDispose]: () => this.#remove(path) };
  }

  /**
   * Gives each run that was cut short to `tell`, and forgets it then. One that can't be told from a run in
   * another container is left for the next look. Throws what the file system says, and `tell`.
   */
  async takeCutShort(
    tell: (run: CutShortRun) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const names = await readdir(this.#folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    for (const name of names.filter((one) => MARK_FILE.test(one))) {
      const path = join(this.#folder, name);
      const mark = await readMark(path);
      if (mark === 'unknown') continue;
      if (mark) {
        if (!(await this.#isCutShort(mark, signal))) continue;
        await tell(mark);
      }
      await this.#remove(path);
    }
  }

  /** Whoever runs somewhere else holds the database's lock, or waits for it. */
  async #isCutShort({ process }: Mark, signal: AbortSignal): Promise<boolean> {
    const fate = await fateOf(process);
    if (fate !== 'elsewhere') return fate === 'gone';
    try {
      await using _lock = await this.#deps.engine.lock({ purpose: 'backup', waitMs: 0 }, signal);
      return true;
    } catch (error) {
      if (isAbort(error)) throw error;
      return false;
    }
  }

  async #remove(path: string): Promise<void> {
    await removeDurably(path).catch((error: unknown) =>
      this.#deps.log.warn({ error }, 'the note of a run in hand could not be removed'),
    );
  }
}

/** Undefined for what is no mark of ours; `unknown` where the run has just ended, or is another user's. */
async function readMark(path: string): Promise<Mark | 'unknown' | undefined> {
  try {
    return markSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'EACCES') return 'unknown';
    if (code !== undefined && !(error instanceof SyntaxError)) throw error;
    return undefined;
  }
}
