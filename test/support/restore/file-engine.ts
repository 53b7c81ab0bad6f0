import { randomBytes } from 'node:crypto';
import { copyFile, link, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { UnpackedDrop } from '../../../src/core/archive/unpacked.ts';
import type {
  CheckResult,
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
} from '../../../src/core/engines/engine.ts';
import { type Clock, systemClock } from '../../../src/core/runtime/clock.ts';
import { DropbackError } from '../../../src/core/runtime/errors.ts';

/** What a test may make go wrong, or look at, at each call. */
export type Fault = (call: string) => void | Promise<void>;

/**
 * A database that is one file, and really is swapped: for what the machine does around an engine.
 * Its content is the text of a script, its tables the lines `CREATE TABLE <name>`.
 */
export class FileEngine implements RestoreEngine {
  readonly kind = 'sqlite';
  readonly description: string;
  readonly #live: string;
  readonly #fault: Fault;
  readonly #clock: Clock;
  locked = false;

  constructor(live: string, fault: Fault = () => {}, clock: Clock = systemClock) {
    this.#live = live;
    this.description = `sqlite:///${live}`;
    this.#fault = fault;
    this.#clock = clock;
  }

  async probe(): Promise<DatabaseInfo> {
    await this.#fault('probe');
    const found = await inode(this.#live);
    return { version: '1', exists: found !== undefined, sizeBytes: 0 };
  }

  async checks(): Promise<CheckResult[]> {
    return [];
  }

  async lock(request: LockRequest, _signal: AbortSignal): Promise<DatabaseLock> {
    await this.#fault('lock');
    request.onWait?.('a backup');
    this.locked = true;
    const release = async () => {
      this.locked = false;
    };
    return { lost: new AbortController().signal, [Symbol.asyncDispose]: release };
  }

  async inspect(drop: UnpackedDrop): Promise<Inspection> {
    await this.#fault('inspect');
    const text = await readFile(drop.path, 'utf8');
    if (!text.trimEnd().endsWith('COMMIT;')) {
      throw new DropbackError('drop/truncated', 'the script has no end', { hint: 'dump again.' });
    }
    return {
      engine: 'sqlite',
      producer: drop.manifest ? 'dropback' : 'a test',
      trusted: drop.manifest !== undefined,
      roles: { known: [], missing: [] },
      extensions: [],
      differences: [],
      warnings: [],
      stagingBudgetBytes: drop.contentBytes,
      details: {},
    };
  }

  async plan(_inspection: Inspection, target: RestoreTarget): Promise<RestoreState> {
    await this.#fault('plan');
    const id = randomBytes(8).toString('hex');
    const side = target.kind === 'side' ? target.name : '';
    return { engine: 'sqlite', live: this.#live, id, side, old: (await inode(this.#live)) ?? '' };
  }

  async planUndo(previous: PreviousDatabase): Promise<RestoreState> {
    await this.#fault('planUndo');
    if ((await this.measurePrevious(previous)) === undefined) {
      throw new DropbackError('restore/previous-gone', 'it is gone', { hint: 'restore a backup.' });
    }
    const id = randomBytes(8).toString('hex');
    const old = (await inode(this.#live)) ?? '';
    const undo = previous.name;
    return {
      engine: 'sqlite',
      live: this.#live,
      id,
      side: '',
      old,
      staged: previous.identity,
      undo,
    };
  }

  async stage(state: RestoreState, drop: UnpackedDrop, _i: Inspection, context: StepContext) {
    await this.#fault('stage');
    context.progress(0.5);
    await copyFile(drop.path, this.#staging(state));
    const staged = (await inode(this.#staging(state))) ?? '';
    const next = { ...state, staged };
    await context.save(next);
    return next;
  }

  async check(state: RestoreState): Promise<StagedCheck> {
    await this.#fault('check');
    const text = await readFile(this.#staging(state), 'utf8');
    const names = [...text.matchAll(/^CREATE TABLE (\w+)/gm)].map((found) => found[1] ?? '');
    return { tables: names.map((name) => ({ schema: 'main', name, rows: 1 })), warnings: [] };
  }

  async swap(state: RestoreState): Promise<SwapResult> {
    await this.#fault('swap');
    const side = text(state, 'side');
    if (side !== '') {
      await rename(this.#staging(state), join(dirname(this.#live), side));
      return { warnings: [] };
    }
    if (text(state, 'old') !== '') await linkIfMissing(this.#live, this.#previous(state));
    await this.#fault('mid-swap');
    await rename(this.#staging(state), this.#live);
    await this.#fault('swapped');
    return this.replaced(state);
  }

  async outcome(state: RestoreState): Promise<'not-swapped' | 'swapped'> {
    await this.#fault('outcome');
    const target =
      text(state, 'side') === '' ? this.#live : join(dirname(this.#live), text(state, 'side'));
    const staged = text(state, 'staged');
    return staged !== '' && (await inode(target)) === staged ? 'swapped' : 'not-swapped';
  }

  async replaced(state: RestoreState): Promise<SwapResult> {
    await this.#fault('replaced');
    const name = this.#previous(state);
    const identity = await inode(name);
    if (identity === undefined || text(state, 'side') !== '') return { warnings: [] };
    const replacedAt = this.#clock.now().toISOString();
    const id = text(state, 'id');
    return {
      previous: { id, engine: 'sqlite', name, identity, replacedAt, bytes: 1 },
      warnings: [],
    };
  }

  async isOfLive(state: RestoreState): Promise<boolean> {
    return state.engine === this.kind && (state['live'] ?? this.#live) === this.#live;
  }

  async finish(): Promise<void> {
    await this.#fault('finish');
  }

  async discard(state: RestoreState): Promise<void> {
    await this.#fault('discard');
    if (text(state, 'undo') === '') await rm(this.#staging(state), { force: true });
    await rm(this.#previous(state), { force: true });
  }

  async measurePrevious(previous: PreviousDatabase): Promise<number | undefined> {
    return (await inode(previous.name)) === previous.identity ? 1 : undefined;
  }

  async dropPrevious(previous: PreviousDatabase): Promise<void> {
    await this.#fault('dropPrevious');
    if ((await inode(previous.name)) === previous.identity) await rm(previous.name);
  }

  async sweep(known: readonly RestoreState[]): Promise<string[]> {
    await this.#fault('sweep');
    const kept = new Set(known.map((state) => basename(this.#previous(state))));
    const swept: string[] = [];
    const ours = `${basename(this.#live)}.dropback_`;
    for (const name of await readdir(dirname(this.#live))) {
      if (!name.startsWith(ours) || kept.has(name)) continue;
      await rm(join(dirname(this.#live), name));
      swept.push(name);
    }
    return swept;
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #staging(state: RestoreState): string {
    return text(state, 'undo') || `${this.#live}.dropback_s_${text(state, 'id')}`;
  }

  #previous(state: RestoreState): string {
    return `${this.#live}.dropback_p_${text(state, 'id')}`;
  }
}

function text(state: RestoreState, key: string): string {
  const value = state[key];
  return typeof value === 'string' ? value : '';
}

async function inode(path: string): Promise<string | undefined> {
  const stats = await stat(path).catch(() => undefined);
  return stats ? String(stats.ino) : undefined;
}

async function linkIfMissing(from: string, to: string): Promise<void> {
  await rm(to, { force: true });
  await link(from, to);
}
