import type { Manifest, SavedRole } from '../../../archive/manifest.ts';
import type { UnpackedDrop } from '../../../archive/unpacked.ts';
import { DropbackError } from '../../../runtime/errors.ts';
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
import { describeConnection } from '../environment.ts';
import { createRoles } from '../globals/create-roles.ts';
import { databaseDifferences } from '../globals/database-differences.ts';
import { setRolesInDatabase } from '../globals/set-in-database.ts';
import { takeLock } from '../lock.ts';
import { discardRestore, finishRestore } from './clean-up.ts';
import { detailsOf } from './details.ts';
import { finishStaging } from './finish-staging.ts';
import { inspectDrop } from './inspect.ts';
import { readDatabase } from './live.ts';
import { readOutcome, readReplaced } from './outcome.ts';
import { planRestore, planUndo } from './plan.ts';
import { dropKept, measure } from './previous.ts';
import { requireSwappable } from './ready.ts';
import { restoreChecks } from './restore-checks.ts';
import { type PostgresRestoreOptions, Server } from './server.ts';
import { KnownStates } from './server-identity.ts';
import { type Loaded, stageDrop } from './stage.ts';
import { fromState, toState } from './state.ts';
import { swapAndReport } from './swap-and-report.ts';
import { sweepLeftovers } from './sweep.ts';

const PROBE_TIMEOUT_MS = 60_000;

/** Restores into a PostgreSQL database by way of a staging database and two renames. */
export class PostgresRestoreEngine implements RestoreEngine {
  readonly kind = 'postgres';
  readonly description: string;
  readonly #server: Server;
  readonly #states: KnownStates;
  /** By restore: between stage and check, in one process. */
  readonly #loads = new Map<string, Loaded>();

  constructor(options: PostgresRestoreOptions) {
    this.#server = new Server(options);
    this.#states = new KnownStates(this.#server);
    this.description = describeConnection(options.database.connection);
  }

  async probe(signal: AbortSignal): Promise<DatabaseInfo> {
    const applicationName = 'dropback probe';
    // With a limit of time: a server that hangs is as good as one that is away.
    const needs = { applicationName, signal, statementTimeoutMs: PROBE_TIMEOUT_MS };
    await using session = await this.#server.open(needs);
    const live = await readDatabase(session, this.#server.liveName);
    const { version } = session;
    return { version, exists: live !== undefined, sizeBytes: live?.sizeBytes ?? 0 };
  }

  checks(signal: AbortSignal): Promise<CheckResult[]> {
    return restoreChecks(this.#server, signal);
  }

  lock(request: LockRequest, signal: AbortSignal): Promise<DatabaseLock> {
    const { control, maintenanceDatabase, liveName, options } = this.#server;
    const target = { connection: control, maintenanceDatabase, database: liveName };
    return takeLock(target, request, options.clock, signal);
  }

  inspect(drop: UnpackedDrop, context: StepContext): Promise<Inspection> {
    return inspectDrop(this.#server, drop, context);
  }

  async createRoles(
    roles: readonly SavedRole[],
    manifest: Manifest,
    target: RestoreTarget,
    { signal }: StepContext,
  ): Promise<CreatedRoles> {
    await using session = await this.#server.open({ applicationName: 'dropback roles', signal });
    const made = await createRoles(session, roles);
    if (target.kind !== 'live') return made;
    const { liveName } = this.#server;
    const settings = await setRolesInDatabase(session, liveName, roles);
    const around = await databaseDifferences(session, liveName, manifest);
    return { created: made.created, notes: [...made.notes, ...settings, ...around] };
  }

  async plan(
    inspection: Inspection,
    target: RestoreTarget,
    { signal }: StepContext,
  ): Promise<RestoreState> {
    await using session = await this.#server.open({ applicationName: 'dropback plan', signal });
    return toState(await planRestore(session, this.#server, inspection, target));
  }

  async planUndo(previous: PreviousDatabase, { signal }: StepContext): Promise<RestoreState> {
    await using session = await this.#server.open({ applicationName: 'dropback plan', signal });
    const state = await planUndo(session, this.#server, previous);
    await requireSwappable(session, this.#server, 'request/not-possible-here');
    return toState(state);
  }

  async stage(
    state: RestoreState,
    drop: UnpackedDrop,
    inspection: Inspection,
    context: StepContext,
  ): Promise<RestoreState> {
    const staged = await stageDrop(this.#server, fromState(state), drop, inspection, context);
    this.#loads.set(staged.state.id, staged.loaded);
    return toState(staged.state);
  }

  async check(
    state: RestoreState,
    inspection: Inspection,
    context: StepContext,
  ): Promise<StagedCheck> {
    const known = fromState(state);
    const loaded = this.#loads.get(known.id);
    if (!loaded) throw notStaged(known.id);
    const result = await finishStaging(this.#server, known, loaded, detailsOf(inspection), context);
    this.#loads.delete(known.id);
    return result;
  }

  swap(state: RestoreState, context: StepContext): Promise<SwapResult> {
    return swapAndReport(this.#server, fromState(state), context);
  }

  outcome(state: RestoreState, signal: AbortSignal): Promise<'not-swapped' | 'swapped'> {
    return readOutcome(this.#server, fromState(state), signal);
  }

  replaced(state: RestoreState, signal: AbortSignal): Promise<SwapResult> {
    return readReplaced(this.#server, fromState(state), signal);
  }

  /** Whether it was a restore on the server that is configured now. */
  isHere(state: RestoreState): Promise<boolean> {
    return this.#states.isHere(state);
  }

  async isOfLive(state: RestoreState): Promise<boolean> {
    const { engine, target, liveName } = state;
    if (engine !== 'postgres') return false;
    return target === 'side' || (liveName === this.#server.liveName && this.#states.isHere(state));
  }

  finish(state: RestoreState, context: StepContext): Promise<void> {
    return finishRestore(this.#server, fromState(state), context);
  }

  async discard(state: RestoreState, context: StepContext): Promise<void> {
    const known = fromState(state);
    this.#loads.delete(known.id);
    await discardRestore(this.#server, known, context);
  }

  async measurePrevious(
    previous: PreviousDatabase,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    await using session = await this.#server.open({ applicationName: 'dropback measure', signal });
    return await measure(session, previous);
  }

  async dropPrevious(previous: PreviousDatabase, { signal }: StepContext): Promise<void> {
    await dropKept(this.#server, previous, signal);
  }

  sweep(known: readonly RestoreState[], context: StepContext): Promise<string[]> {
    const ours = known.filter((state) => state.engine === 'postgres').map(fromState);
    return sweepLeftovers(this.#server, ours, context);
  }

  /** Every session is closed by whoever opened it; nothing is pooled. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#loads.clear();
  }
}

function notStaged(id: string): DropbackError {
  return new DropbackError('restore/not-staged', `restore ${id} was not staged by this process`, {
    hint: 'a restore that was interrupted between its steps starts over from the file.',
  });
}
