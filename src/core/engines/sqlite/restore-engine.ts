import type { UnpackedDrop } from '../../archive/unpacked.ts';
import type {
  Inspection,
  PreviousDatabase,
  RestoreEngine,
  RestoreState,
  RestoreTarget,
  StagedCheck,
  StepContext,
  SwapResult,
} from '../engine.ts';
import { check } from './restore/check.ts';
import { discard, dropPrevious, finish, measurePrevious, sweep } from './restore/clean-up.ts';
import { type InspectSettings, inspect } from './restore/inspect.ts';
import { outcome, replaced } from './restore/outcome.ts';
import { plan, planUndo } from './restore/plan.ts';
import { stage } from './restore/stage.ts';
import { isOf, parseState } from './restore/state.ts';
import { swap } from './restore/swap.ts';
import { SqliteEngine, type SqliteEngineOptions } from './sqlite-engine.ts';

export interface SqliteRestoreOptions extends SqliteEngineOptions, InspectSettings {}

/** Restores into a SQLite file: staged beside it, swapped by rename or written over in place. */
export class SqliteRestoreEngine extends SqliteEngine implements RestoreEngine {
  protected readonly purpose = 'restore';
  readonly #settings: InspectSettings;

  constructor(options: SqliteRestoreOptions) {
    super(options);
    this.#settings = options;
  }

  async inspect(drop: UnpackedDrop, context: StepContext): Promise<Inspection> {
    return inspect(this.tool, await this.locate(), this.#settings, drop, context);
  }

  async plan(
    inspection: Inspection,
    target: RestoreTarget,
    { signal }: StepContext,
  ): Promise<RestoreState> {
    return plan(this.tool, await this.locate(), inspection, target, signal);
  }

  async planUndo(previous: PreviousDatabase, { signal }: StepContext): Promise<RestoreState> {
    return planUndo(this.tool, await this.locate(), previous, signal);
  }

  async stage(
    state: RestoreState,
    drop: UnpackedDrop,
    inspection: Inspection,
    context: StepContext,
  ): Promise<RestoreState> {
    const staged = await stage(this.tool, parseState(state), drop, inspection, context);
    for (const warning of staged.warnings) context.log.warn(warning);
    return staged.state;
  }

  check(
    state: RestoreState,
    inspection: Inspection,
    { signal }: StepContext,
  ): Promise<StagedCheck> {
    return check(this.tool, parseState(state), inspection, signal);
  }

  swap(state: RestoreState, context: StepContext): Promise<SwapResult> {
    return swap(this.tool, parseState(state), this.clock, context);
  }

  outcome(state: RestoreState, signal: AbortSignal): Promise<'not-swapped' | 'swapped'> {
    return outcome(this.tool, parseState(state), signal);
  }

  replaced(state: RestoreState, signal: AbortSignal): Promise<SwapResult> {
    return replaced(this.tool, parseState(state), signal);
  }

  async isOfLive(state: RestoreState): Promise<boolean> {
    if (state.engine !== 'sqlite') return false;
    const location = await this.locate().catch(() => undefined);
    // Where it can't be looked at, nothing speaks against it.
    return !location || isOf(parseState(state), location);
  }

  finish(state: RestoreState, context: StepContext): Promise<void> {
    return finish(this.tool, parseState(state), context);
  }

  discard(state: RestoreState, context: StepContext): Promise<void> {
    return discard(this.tool, parseState(state), context);
  }

  async measurePrevious(
    previous: PreviousDatabase,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    return measurePrevious(this.tool, await this.locate(), previous, signal);
  }

  async dropPrevious(previous: PreviousDatabase, { signal }: StepContext): Promise<void> {
    return dropPrevious(this.tool, await this.locate(), previous, signal);
  }

  async sweep(known: readonly RestoreState[], context: StepContext): Promise<string[]> {
    const ours = known.filter(({ engine }) => engine === 'sqlite').map(parseState);
    return sweep(this.tool, await this.locate(), ours, context);
  }
}
