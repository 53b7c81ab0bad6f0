import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Manifest, SavedRole } from '../../../archive/manifest.ts';
import type { UnpackedDrop } from '../../../archive/unpacked.ts';
import { removeDurably } from '../../../runtime/durable-files.ts';
import type {
  CheckResult,
  CreatedRoles,
  DatabaseInfo,
  DatabaseLock,
  Inspection,
  LockRequest,
  PreviousDatabase,
  RestoreEngine,
  RestoreState,
  RestoreTarget,
  StagedCheck,
  StepContext,
  SwapResult,
} from '../../engine.ts';
import { detailsOf } from '../restore/details.ts';
import { PostgresRestoreEngine } from '../restore/engine.ts';
import { inspectDrop } from '../restore/inspect.ts';
import { type PostgresRestoreOptions, Server } from '../restore/server.ts';
import { checksInPlace } from './checks.ts';
import { requireInPlace } from './obstacles.ts';
import { readOutcomeInPlace, readReplacedInPlace } from './outcome.ts';
import { planInPlace, planUndoInPlace } from './plan.ts';
import { isSafety, measureSafety, parseUnfinished, safetyPaths } from './safety-file.ts';
import { fromState, isInPlace, toState } from './state.ts';
import { removeSafety, swapInPlace } from './swap.ts';

export interface InPlaceOptions extends PostgresRestoreOptions {
  /** RESTORE_IN_PLACE: new restores go in place. What earlier ones left is known either way. */
  readonly inPlace: boolean;
  /** Absolute path of the folder for safety dumps: ours alone, on a durable volume. */
  readonly safetyFolder: string;
}

const DOWNTIME =
  'RESTORE_IN_PLACE: the application is away for the whole restore, which grows with the database';

/**
 * For roles that may not create databases: content is replaced within the live database, in one
 * transaction, and a safety dump is what is kept of it. All of it happens in `swap`, because until
 * then the application runs. Restores by staging are PostgresRestoreEngine's, here as there.
 */
export class PostgresInPlaceEngine implements RestoreEngine {
  readonly kind = 'postgres';
  readonly description: string;
  readonly #staging: PostgresRestoreEngine;
  readonly #server: Server;
  readonly #options: InPlaceOptions;

  constructor(options: InPlaceOptions) {
    this.#options = options;
    this.#server = new Server(options);
    this.#staging = new PostgresRestoreEngine(options);
    this.description = this.#staging.description;
  }

  probe(signal: AbortSignal): Promise<DatabaseInfo> {
    return this.#staging.probe(signal);
  }

  async checks(signal: AbortSignal): Promise<CheckResult[]> {
    const results = await this.#staging.checks(signal);
    return this.#options.inPlace ? checksInPlace(results) : results;
  }

  lock(request: LockRequest, signal: AbortSignal): Promise<DatabaseLock> {
    return this.#staging.lock(request, signal);
  }

  async inspect(drop: UnpackedDrop, context: StepContext): Promise<Inspection> {
    if (!this.#options.inPlace) return this.#staging.inspect(drop, context);
    const { safetyFolder } = this.#options;
    const inspection = await inspectDrop(this.#server, drop, context, {
      inPlace: true,
      requireRights: (server, scene, file, signal) =>
        requireInPlace(server, safetyFolder, scene, file, signal),
    });
    return { ...inspection, warnings: [...inspection.warnings, DOWNTIME] };
  }

  createRoles(
    roles: readonly SavedRole[],
    manifest: Manifest,
    target: RestoreTarget,
    context: StepContext,
  ): Promise<CreatedRoles> {
    return this.#staging.createRoles(roles, manifest, target, context);
  }

  async plan(
    inspection: Inspection,
    target: RestoreTarget,
    context: StepContext,
  ): Promise<RestoreState> {
    if (!this.#options.inPlace) return this.#staging.plan(inspection, target, context);
    const { signal } = context;
    await using session = await this.#server.open({ applicationName: 'dropback plan', signal });
    return toState(await planInPlace(session, this.#server, inspection, target));
  }

  async planUndo(previous: PreviousDatabase, context: StepContext): Promise<RestoreState> {
    if (!isSafety(previous)) return this.#staging.planUndo(previous, context);
    const { signal } = context;
    const { safetyFolder } = this.#options;
    await using session = await this.#server.open({ applicationName: 'dropback plan', signal });
    return toState(await planUndoInPlace(session, this.#server, safetyFolder, previous, signal));
  }

  /** Nothing is loaded yet: that takes the application's tables away from it. */
  async stage(
    state: RestoreState,
    drop: UnpackedDrop,
    inspection: Inspection,
    context: StepContext,
  ): Promise<RestoreState> {
    if (!isInPlace(state)) return this.#staging.stage(state, drop, inspection, context);
    const staged = toState({ ...fromState(state), archive: drop.path });
    await context.save(staged);
    return staged;
  }

  /** Rows are compared before the COMMIT; here only what they will be compared with is known. */
  async check(
    state: RestoreState,
    inspection: Inspection,
    context: StepContext,
  ): Promise<StagedCheck> {
    if (!isInPlace(state)) return this.#staging.check(state, inspection, context);
    return { tables: detailsOf(inspection).expectedTables ?? [], warnings: [] };
  }

  swap(state: RestoreState, context: StepContext): Promise<SwapResult> {
    if (!isInPlace(state)) return this.#staging.swap(state, context);
    return swapInPlace(this.#server, this.#options.safetyFolder, fromState(state), context);
  }

  outcome(state: RestoreState, signal: AbortSignal): Promise<'not-swapped' | 'swapped'> {
    if (!isInPlace(state)) return this.#staging.outcome(state, signal);
    return readOutcomeInPlace(this.#server, fromState(state), signal);
  }

  replaced(state: RestoreState, signal: AbortSignal): Promise<SwapResult> {
    if (!isInPlace(state)) return this.#staging.replaced(state, signal);
    const { safetyFolder } = this.#options;
    return readReplacedInPlace(this.#server, safetyFolder, fromState(state), signal);
  }

  isOfLive(state: RestoreState): Promise<boolean> {
    return this.#staging.isOfLive(state);
  }

  async finish(state: RestoreState, context: StepContext): Promise<void> {
    if (!isInPlace(state)) return this.#staging.finish(state, context);
    const { kind, archive } = fromState(state);
    // What an undo has brought back needs no dump any more; the one of what it replaced is kept.
    if (kind === 'undo' && archive !== null) await removeDurably(archive);
  }

  async discard(state: RestoreState, context: StepContext): Promise<void> {
    if (!isInPlace(state)) return this.#staging.discard(state, context);
    const known = fromState(state);
    // Ends what runs, and never removes the only copy of what a committed restore has replaced.
    const outcome = await readOutcomeInPlace(this.#server, known, context.signal);
    // Another server can't say what became of it.
    if (!(await this.#staging.isHere(state))) return;
    if (outcome === 'not-swapped') await removeSafety(this.#options.safetyFolder, known.id);
  }

  async measurePrevious(
    previous: PreviousDatabase,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    if (!isSafety(previous)) return this.#staging.measurePrevious(previous, signal);
    return measureSafety(this.#options.safetyFolder, previous);
  }

  async dropPrevious(previous: PreviousDatabase, context: StepContext): Promise<void> {
    if (!isSafety(previous)) return this.#staging.dropPrevious(previous, context);
    await removeDurably(safetyPaths(this.#options.safetyFolder, previous.id).final);
  }

  async sweep(known: readonly RestoreState[], context: StepContext): Promise<string[]> {
    const inPlace = known.filter(isInPlace).map(fromState);
    const staged = known.filter((state) => !isInPlace(state));
    const ids = inPlace.map(({ id }) => id);
    const removed = await this.#sweepFolder(ids);
    return [...removed, ...(await this.#staging.sweep(staged, context))];
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#staging[Symbol.asyncDispose]();
  }

  /** Unfinished dumps alone: a whole one that nobody knows may be somebody's only copy. */
  async #sweepFolder(known: readonly string[]): Promise<string[]> {
    const removed: string[] = [];
    for (const name of await listFolder(this.#options.safetyFolder)) {
      const id = parseUnfinished(name);
      if (id === undefined || known.includes(id)) continue;
      await rm(join(this.#options.safetyFolder, name), { force: true });
      removed.push(name);
    }
    return removed;
  }
}

async function listFolder(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
