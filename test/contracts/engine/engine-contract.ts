import { access, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { UnpackedDrop } from '../../../src/core/archive/unpacked.ts';
import type {
  BackupEngine,
  Dump,
  RestoreEngine,
  RestoreState,
  StepContext,
} from '../../../src/core/engines/engine.ts';
import { silentLogger } from '../../../src/core/observability/log.ts';
import { failureOf } from '../../support/failure.ts';

/** One live database with some rows in it, both engines on it, and hands that reach past them. */
export interface EngineUnderTest {
  readonly backup: BackupEngine;
  readonly restore: RestoreEngine;
  /** A folder for spools. */
  readonly folder: string;
  /** A name for a side database that nobody else uses. */
  readonly side: string;
  /** Everything in the live database as one text: equal means equal content. */
  content(): Promise<string>;
  /** Changes the live database as an application would; it isn't connected afterwards. */
  change(): Promise<void>;
  /** Unpacks an archive as a claimed drop; with the dump's counts as its manifest when `trusted`. */
  unpack(archivePath: string, dump: Dump, trusted: boolean): Promise<UnpackedDrop>;
  /** A drop of the right kind that is cut or otherwise damaged. */
  damaged(archivePath: string): Promise<UnpackedDrop>;
  /** Content of a side database. */
  sideContent(name: string): Promise<string>;
  /** Names of databases or files of ours, sorted: staged, kept, copies. */
  leftovers(): Promise<string[]>;
  dispose(): Promise<void>;
}

const never = new AbortController().signal;

/** What every engine promises, as `engine.ts` has it. */
export function describeEngine(kind: string, create: () => Promise<EngineUnderTest>): void {
  describe(`${kind} engine`, () => {
    let it: EngineUnderTest;
    let saved: RestoreState[];
    let context: StepContext;
    beforeEach(async () => {
      it = await create();
      saved = [];
      const save = async (state: RestoreState) => {
        // What a journal does to it: a state has to survive that.
        saved.push(JSON.parse(JSON.stringify(state)) as RestoreState);
      };
      context = { signal: never, log: silentLogger(), progress: () => {}, save };
    });
    afterEach(() => it.dispose());

    const spool = () => join(it.folder, 'spool.partial');
    const dump = (signal = never) =>
      it.backup.dump(
        {
          spool: spool(),
          compressionLevel: 3,
          excludeTableData: [],
          rowCounts: 'exact',
          nice: 0,
          log: silentLogger(),
        },
        signal,
      );
    const staged = async (drop: UnpackedDrop) => {
      const inspection = await it.restore.inspect(drop, context);
      const plan = await it.restore.plan(inspection, { kind: 'live' }, context);
      const state = await it.restore.stage(plan, drop, inspection, context);
      return { inspection, state };
    };
    const last = () => saved.at(-1) as RestoreState;

    test('sees the database, and finds nothing wrong with it', async () => {
      for (const engine of [it.backup, it.restore]) {
        const info = await engine.probe(never);
        expect(info.exists).toBe(true);
        expect(info.sizeBytes).toBeGreaterThan(0);
        expect(info.version).toMatch(/^\d+\.\d+/);
        const results = await engine.checks(never);
        expect(results.filter(({ status }) => status === 'failed')).toEqual([]);
      }
    });

    test('dumps a whole database, and reads it back', async () => {
      const dumped = await dump();
      expect(dumped.tables.length).toBeGreaterThan(0);
      const read = await it.backup.readBack(spool(), dumped, never);
      expect(read.tables).toEqual(dumped.tables);
      expect(read.contentBytes).toBe(dumped.archive.contentBytes);
      expect(await it.leftovers()).toEqual([]);
    });

    test('notices a changed byte when reading back', async () => {
      const dumped = await dump();
      await flip(spool(), Math.floor(dumped.archive.bytes / 2));
      const error = await failureOf(it.backup.readBack(spool(), dumped, never));
      expect(error.code).toMatch(/^(backup\/read-back-mismatch|archive\/)/);
    });

    test('a dump that is aborted leaves nothing but its spool', async () => {
      const controller = new AbortController();
      const running = failureOf(dump(controller.signal));
      const hasBegun = async () => (await exists(spool())) || (await it.leftovers()).length > 0;
      await expect.poll(hasBegun, { timeout: 60_000, interval: 5 }).toBe(true);
      controller.abort();
      const error = await running;
      expect(error.code).toBe('run/aborted');
      await rm(spool(), { force: true });
      expect(await it.leftovers()).toEqual([]);
    });

    test('only one holds the lock; the next one is told who, and waits', async () => {
      const held = await it.backup.lock({ purpose: 'backup', waitMs: 0 }, never);
      const busy = await failureOf(it.restore.lock({ purpose: 'restore', waitMs: 0 }, never));
      expect(busy).toMatchObject({ code: 'lock/busy', retryable: true });
      let waited = 0;
      const onWait = () => {
        waited++;
      };
      const next = it.restore.lock({ purpose: 'restore', waitMs: 30_000, onWait }, never);
      await expect.poll(() => waited, { timeout: 10_000 }).toBe(1);
      await held[Symbol.asyncDispose]();
      const lock = await next;
      expect(lock.lost.aborted).toBe(false);
      await lock[Symbol.asyncDispose]();
      expect(waited).toBe(1);
    });

    test('waiting for the lock ends with the signal', async () => {
      await using _held = await it.backup.lock({ purpose: 'backup', waitMs: 0 }, never);
      const controller = new AbortController();
      const waiting = it.restore.lock(
        { purpose: 'restore', waitMs: 60_000, onWait: () => controller.abort() },
        controller.signal,
      );
      expect((await failureOf(waiting)).code).toBe('run/aborted');
    });

    test.each([true, false])(
      'restores what was dumped (trusted: %s), and undoes it',
      async (own) => {
        const before = await it.content();
        const dumped = await dump();
        await it.change();
        const changed = await it.content();
        expect(changed).not.toBe(before);

        const drop = await it.unpack(spool(), dumped, own);
        const { inspection, state } = await staged(drop);
        expect(inspection.trusted).toBe(own);
        expect(inspection.differences.length).toBeGreaterThan(0);
        const found = await it.restore.check(state, inspection, context);
        expect(found.tables).toEqual(dumped.tables);
        expect(await it.content()).toBe(changed);
        expect(await it.restore.outcome(state, never)).toBe('not-swapped');

        expect(await it.restore.isOfLive(state)).toBe(true);
        for (const other of [{ liveName: 'other', path: '/other.db' }, { engine: 'other' }]) {
          expect(await it.restore.isOfLive({ ...state, ...other } as RestoreState)).toBe(false);
        }
        const result = await it.restore.swap(state, context);
        const previous = result.previous;
        if (!previous) throw new Error('nothing was kept');
        expect(await it.content()).toBe(before);
        expect(await it.restore.outcome(last(), never)).toBe('swapped');
        // The time may be that of asking, and a server goes on tidying what was kept.
        const replaced = (await it.restore.replaced(last(), never)).previous;
        expect(replaced).toEqual({
          ...previous,
          replacedAt: expect.any(String),
          bytes: expect.any(Number),
        });
        await it.restore.finish(last(), context);
        await it.restore.finish(last(), context);
        expect(await it.restore.measurePrevious(previous, never)).toBeGreaterThan(0);
        expect(await it.restore.sweep([last()], context)).toEqual([]);
        expect(await it.restore.sweep([], context), 'its record may lie elsewhere').toEqual([]);
        expect(await it.restore.measurePrevious(previous, never)).toBeGreaterThan(0);

        const undo = await it.restore.planUndo(previous, context);
        const undone = await it.restore.swap(undo, context);
        await it.restore.finish(last(), context);
        expect(await it.content()).toBe(changed);
        expect(await it.restore.measurePrevious(previous, never)).toBeUndefined();
        if (!undone.previous) throw new Error('nothing was kept');
        await it.restore.dropPrevious(undone.previous, context);
        await it.restore.dropPrevious(undone.previous, context);
        expect(await it.leftovers()).toEqual([]);
        expect(await it.content()).toBe(changed);
      },
    );

    test('a staged restore is discarded without a trace', async () => {
      const dumped = await dump();
      await it.change();
      const changed = await it.content();
      await staged(await it.unpack(spool(), dumped, true));
      expect(await it.leftovers()).not.toEqual([]);
      await it.restore.discard(last(), context);
      await it.restore.discard(last(), context);
      expect(await it.leftovers()).toEqual([]);
      expect(await it.content()).toBe(changed);
      expect(await it.restore.outcome(last(), never)).toBe('not-swapped');
    });

    test('refuses a damaged file', async () => {
      await dump();
      const changed = await it.content();
      const error = await failureOf(it.restore.inspect(await it.damaged(spool()), context));
      expect(error.code).toMatch(/^drop\//);
      expect(error.hint).not.toBe('');
      expect(await it.leftovers()).toEqual([]);
      expect(await it.content()).toBe(changed);
    });

    test('sweeps what no journal knows, and nothing else', async () => {
      const dumped = await dump();
      const drop = await it.unpack(spool(), dumped, true);
      await staged(drop);
      const known = last();
      await staged(drop);
      const all = await it.leftovers();
      const swept = await it.restore.sweep([known], context);
      expect(swept.length).toBe(1);
      expect((await it.leftovers()).length).toBe(all.length - 1);
      await it.restore.discard(known, context);
      expect(await it.leftovers()).toEqual([]);
    });

    test('restores into a side database, and swaps nothing', async () => {
      const before = await it.content();
      const dumped = await dump();
      await it.change();
      const changed = await it.content();
      const drop = await it.unpack(spool(), dumped, true);
      const inspection = await it.restore.inspect(drop, context);
      const target = { kind: 'side', name: it.side } as const;
      const plan = await it.restore.plan(inspection, target, context);
      const state = await it.restore.stage(plan, drop, inspection, context);
      await it.restore.check(state, inspection, context);
      const result = await it.restore.swap(state, context);
      await it.restore.finish(last(), context);
      expect(result.previous).toBeUndefined();
      expect(await it.content()).toBe(changed);
      expect(await it.sideContent(it.side)).toBe(before);
      const again = await failureOf(it.restore.plan(inspection, target, context));
      expect(again.code).toMatch(/^(restore|drop)\//);
    });
  });
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

async function flip(path: string, offset: number): Promise<void> {
  await using file = await open(path, 'r+');
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, offset);
  await file.write(Buffer.from([(buffer[0] ?? 0) ^ 0x10]), 0, 1, offset);
}
