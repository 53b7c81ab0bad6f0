import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { OperationName } from '../../../src/core/engines/sqlite/protocol.ts';
import { failureOf } from '../../support/failure.ts';
import { ApplicationProcess, fill, never, Site } from './support.ts';

/** Rows that make a file of some 12 MB: long enough in the writing to be hit. */
const ROWS = 30_000;

let site: Site;
beforeEach(() => {
  site = new Site();
});
afterEach(() => site.dispose());

/** SIGKILLs our own tool process of this operation, `afterMs` after it has appeared. */
async function killTool(operation: OperationName, afterMs: number): Promise<boolean> {
  for (let tries = 0; tries < 4000; tries++) {
    const pid = toolOf(operation);
    if (pid !== undefined) {
      await new Promise((resolve) => setTimeout(resolve, afterMs));
      try {
        process.kill(pid, 'SIGKILL');
        return true;
      } catch {
        return false;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`${operation} was never started`);
}

function toolOf(operation: OperationName): number | undefined {
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const parent = /^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${name}/status`, 'utf8'))?.[1];
      if (Number(parent) !== process.pid) continue;
      const line = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0');
      if (line.includes(operation) && line.some((word) => word.endsWith('tool.ts'))) {
        return Number(name);
      }
    } catch {
      // It ended while we looked.
    }
  }
  return undefined;
}

function foreign() {
  const path = join(site.work, 'foreign.db');
  fill(path, 'delete', ROWS - 1000);
  return site.drop(path, { force: true });
}

test.each(['copy', 'lock'] as const)('backup: %s dies', async (operation) => {
  site.fill('wal', ROWS);
  const before = site.content();
  if (operation === 'lock') {
    const lock = await site.backup.lock({ purpose: 'backup', waitMs: 0 }, never);
    await killTool('lock', 0);
    await expect.poll(() => lock.lost.aborted, { timeout: 5000 }).toBe(true);
    await lock[Symbol.asyncDispose]();
    const next = await site.backup.lock({ purpose: 'backup', waitMs: 0 }, never);
    await next[Symbol.asyncDispose]();
    return;
  }
  const failing = failureOf(site.dump());
  await killTool('copy', 60);
  expect((await failing).code).toBe('tool/failed');
  expect(site.leftovers()).toEqual([]);
  expect(site.content()).toBe(before);
});

describe.each(['wal', 'delete'] as const)('restore in %s mode', (mode) => {
  const operations = mode === 'wal' ? (['replace'] as const) : (['keep', 'overwrite'] as const);

  test.each(operations)(
    '%s dies at any time: wholly the old or wholly the new',
    async (operation) => {
      site.fill(mode, ROWS);
      const old = site.content();
      const drop = foreign();
      const fresh = site.content(drop.path);
      const seen = new Set<string>();
      for (const afterMs of [0, 50, 100, 160]) {
        const state = await site.staged(drop);
        const swapping = site.restore.swap(state, site.context).then(
          () => 'swapped',
          () => 'not-swapped',
        );
        const [told] = await Promise.all([swapping, killTool(operation, afterMs)]);
        // As a daemon would that knows nothing but the journal.
        const outcome = await site.restore.outcome(site.state, never);
        expect(outcome).toBe(told);
        seen.add(outcome);
        expect(site.content()).toBe(outcome === 'swapped' ? fresh : old);
        expect(site.mode()).toBe(mode);
        if (outcome === 'not-swapped') {
          await site.restore.discard(site.state, site.context);
        } else {
          const { previous } = await site.restore.replaced(site.state, never);
          await site.restore.finish(site.state, site.context);
          if (!previous) throw new Error('nothing was kept');
          expect(site.content(previous.name)).toBe(old);
          const undo = await site.restore.planUndo(previous, site.context);
          const undone = await site.restore.swap(undo, site.context);
          await site.restore.finish(site.state, site.context);
          if (undone.previous) await site.restore.dropPrevious(undone.previous, site.context);
        }
        expect(site.content()).toBe(old);
        expect(site.leftovers()).toEqual([]);
      }
      expect(seen.has('not-swapped')).toBe(true);
    },
    180_000,
  );
});

describe('written over in place: the outcome can still be told', () => {
  test.each(['new', 'old'] as const)('when an application writes to the %s one', async (which) => {
    site.fill('delete', 5000);
    const path = join(site.work, 'foreign.db');
    fill(path, 'delete', 4000);
    const state = await site.staged(site.drop(path));
    await site.restore.swap(state, site.context);
    if (which === 'old') {
      const { previous } = await site.restore.replaced(site.state, never);
      const kept = new Database(previous?.name ?? '');
      await kept.backup(site.path);
      kept.close();
    }
    // What a daemon has that died in the middle: the staged and the kept file, and the journal.
    expect(site.state['phase']).toBe('overwriting');
    const application = await new ApplicationProcess(site.path, { everyMs: 5 }).started();
    await new Promise((resolve) => setTimeout(resolve, 300));
    const outcome = await site.restore.outcome(site.state, never);
    expect((await application.end()).failures).toEqual([]);
    expect(outcome).toBe(which === 'new' ? 'swapped' : 'not-swapped');
  });
});
