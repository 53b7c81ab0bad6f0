import { mkdir, mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { verdictOf } from '../../../src/backup/verify/verdict.ts';
import type { Manifest } from '../../../src/core/archive/manifest.ts';
import { unpack } from '../../../src/core/archive/unpack.ts';
import type { Rehearsal, RehearsalEngine } from '../../../src/core/engines/engine.ts';
import { silentLogger } from '../../../src/core/observability/log.ts';
import { failureOf } from '../../support/failure.ts';

/** A backup of some tables with rows, and an engine that can rehearse it. */
export interface RehearsalUnderTest {
  readonly engine: RehearsalEngine;
  readonly manifest: Manifest;
  readonly archive: string;
  /** A folder for work folders. */
  readonly folder: string;
  /** Queries in its language: one that is true of the backup, and one that isn't. */
  readonly queries: { readonly right: string; readonly wrong: string };
  /** Everything in the source as one text. */
  content(): Promise<string>;
  /** What rehearsals have left on the server or beside the source. */
  leftovers(): Promise<string[]>;
  dispose(): Promise<void>;
}

const never = new AbortController().signal;

/** What every rehearsal promises, as `engine.ts` has it. */
export function describeRehearsal(kind: string, create: () => Promise<RehearsalUnderTest>): void {
  describe(`${kind} rehearsal`, () => {
    let it: RehearsalUnderTest;
    beforeAll(async () => {
      it = await create();
    });
    afterAll(() => it?.dispose());

    const rehearse = async (
      change: Partial<Manifest> = {},
      queries: readonly string[] = [],
      signal = never,
      onProgress: (message: string) => void = () => {},
    ): Promise<Rehearsal> => {
      const manifest = { ...it.manifest, ...change };
      await mkdir(it.folder, { recursive: true });
      const workFolder = await mkdtemp(join(it.folder, 'work-'));
      const { file, sha256 } = manifest.archive;
      const claimed = { path: it.archive, fileName: file, workFolder, sha256, force: false };
      const archive = await unpack({ ...claimed, manifest }, never);
      const request = { manifest, archive, workFolder, queries, log: silentLogger(), onProgress };
      return await it.engine.rehearse(request, signal);
    };

    test('finds nothing wrong with where it is done', async () => {
      const results = await it.engine.checks(never);
      expect(results.filter(({ status }) => status === 'failed')).toEqual([]);
    });

    test('a good backup restores: every row counted, queries asked, the source left alone', async () => {
      const before = await it.content();
      const found = await rehearse({}, [it.queries.right]);
      expect(found.tables).toEqual(it.manifest.tables);
      expect(await it.content()).toBe(before);
      expect(await it.leftovers()).toEqual([]);
    });

    test('one row more or less than the manifest says is a bad backup', async () => {
      for (const by of [1, -1]) {
        const tables = it.manifest.tables.map((table, index) =>
          index === 0 ? { ...table, rows: table.rows + by } : table,
        );
        const error = await failureOf(rehearse({ tables }));
        expect(error.code).toBe('restore/rows-differ');
        expect(verdictOf(error)).toBe('failed');
      }
      expect(await it.leftovers()).toEqual([]);
    });

    test('a table that is missing is a bad backup', async () => {
      const [table] = it.manifest.tables;
      if (!table) throw new Error('the source has no table');
      const tables = [...it.manifest.tables, { ...table, name: 'not there', rows: 0 }];
      const error = await failureOf(rehearse({ tables }));
      expect(verdictOf(error)).toBe('failed');
      expect(error.message).toContain('not there');
    });

    test('a query that is not true is a bad backup; one that is no query says nothing', async () => {
      const wrong = await failureOf(rehearse({}, [it.queries.right, it.queries.wrong]));
      expect(verdictOf(wrong)).toBe('failed');
      expect(wrong.message).toContain(it.queries.wrong);
      const none = await failureOf(rehearse({}, ['SELEKT 1']));
      expect(none.code).toBe('verify/query-invalid');
      expect(verdictOf(none)).toBe('inconclusive');
      expect(await it.leftovers()).toEqual([]);
    });

    test('one that is aborted ends, says nothing of the backup, and leaves nothing', async () => {
      const controller = new AbortController();
      const onProgress = () => controller.abort();
      const error = await failureOf(rehearse({}, [], controller.signal, onProgress));
      expect(error.code).toBe('run/aborted');
      await it.engine.sweep(silentLogger(), never);
      expect(await it.leftovers()).toEqual([]);
    });

    test('one at a time; the next one is told who, and waits', async () => {
      const held = await it.engine.lock({ waitMs: 0 }, never);
      const busy = await failureOf(it.engine.lock({ waitMs: 0 }, never));
      expect(busy).toMatchObject({ code: 'lock/busy', retryable: true });
      const next = it.engine.lock({ waitMs: 60_000 }, never);
      await held[Symbol.asyncDispose]();
      const lock = await next;
      expect(lock.lost.aborted).toBe(false);
      await lock[Symbol.asyncDispose]();
    });
  });
}
