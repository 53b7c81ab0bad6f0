import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import {
  appendFile,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Manifest } from '../../src/core/archive/manifest.ts';
import { script, World, type WorldOptions } from '../support/restore/world.ts';
import { SteppedClock } from '../support/stepped-clock.ts';

/** As configured by default. */
const config = { settleMs: 300_000, pollIntervalMs: 5000 };
const MINUTE = 60_000;
const deviceOf = (path: string) => statSync(path, { throwIfNoEntry: false })?.dev;
const otherMount = deviceOf('/dev/shm') === deviceOf(tmpdir()) ? undefined : '/dev/shm';

let world: World;
let clock: SteppedClock;
const elsewhere: string[] = [];

async function started(options: WorldOptions = {}): Promise<void> {
  clock = new SteppedClock();
  world = await World.create({ config, clock, ...options });
  world.start();
  await world.until(() => world.daemon.status().state === 'idle');
}
beforeEach(() => started());
afterEach(async () => {
  await world.remove();
  for (const path of elsewhere.splice(0)) rmSync(path, { recursive: true, force: true });
});

/** A dump of some size, with something to know it by. */
const dump = (name: string) => script(name, ...Array.from({ length: 300 }, (_, i) => `t${i}`));
const incoming = (name: string) => join(world.incoming, name);
const names = async (folder: string) => (await readdir(world.path(folder))).toSorted();

/** Writes in pieces, a second each, as a copy at 1 MB/s arrives; stalls for a minute in the middle. */
async function copySlowly(path: string, content: Buffer, pieces = 8): Promise<void> {
  await writeFile(path, '');
  for (let piece = 0; piece < pieces; piece++) {
    const [from, to] = [piece, piece + 1].map((at) => Math.floor((content.length * at) / pieces));
    await appendFile(path, content.subarray(from, to));
    await clock.advance(piece === pieces >> 1 ? MINUTE : 1000);
    if (piece < pieces - 1) await expectUnclaimed(path);
  }
}

async function expectUnclaimed(path: string): Promise<void> {
  expect(await readFile(path)).toBeDefined();
  expect(await names('work')).toEqual([]);
  expect([...(await names('done')), ...(await names('failed'))]).toEqual([]);
}

const packed = {
  'slow.sql': () => Buffer.from(dump('slow')),
  'slow.sql.gz': () => gzipSync(dump('slow')),
  'slow.sql.zst': () => execFileSync('zstd', ['-q', '-c'], { input: dump('slow') }),
};
const slow = ['slow.sql', 'slow.sql.gz', 'slow.sql.zst'] as const;

test.for(slow)('a slow copy with a stall of a minute: %s', async (name) => {
  await copySlowly(incoming(name), packed[name]());
  expect(await world.report(name)).toMatchObject({ outcome: 'restored', attempts: 1 });
  expect(await world.liveText()).toBe(dump('slow'));
  expect(await names('done')).toEqual([name, `${name}.report.json`]);
});

test('a copy that stalls for longer than RESTORE_SETTLE_SECONDS is refused as truncated', async () => {
  await writeFile(incoming('cut.sql'), dump('cut').slice(0, 1000));
  await clock.advance(4 * MINUTE);
  await expectUnclaimed(incoming('cut.sql'));
  const [waiting] = world.daemon.status().queue;
  expect(waiting).toEqual({ name: 'cut.sql', waitsFor: 'its last line is missing' });
  expect(await world.report('cut.sql')).toMatchObject({
    outcome: 'refused',
    error: { code: 'drop/truncated' },
  });
});

test('space that is reserved first, and then written into', async () => {
  const text = script('reserved').replace(
    'COMMIT',
    `-- ${randomBytes(60_000).toString('hex')}\nCOMMIT`,
  );
  const content = gzipSync(text);
  const path = incoming('reserved.sql.gz');
  await using file = await open(path, 'w');
  await file.truncate(content.length);
  const piece = 16_000;
  for (let at = 0; at < content.length; at += piece) {
    await file.write(content, at, Math.min(piece, content.length - at), at);
    if (at + piece < content.length) {
      await clock.advance(20_000);
      await expectUnclaimed(path);
    }
  }
  expect(await world.report('reserved.sql.gz')).toMatchObject({ outcome: 'restored' });
  expect(await world.liveText()).toBe(text);
});

test('a writer that keeps the file open', async () => {
  await using file = await open(incoming('open.sql'), 'w');
  await file.writeFile(dump('open'));
  expect(await world.report('open.sql')).toMatchObject({ outcome: 'restored' });
  expect(await world.liveText()).toBe(dump('open'));
  expect(await names('incoming')).toEqual(['check']);
});

test('a writer that goes on after the claim: refused, and everything it writes is kept', async () => {
  await world.remove();
  let write = async () => {};
  await started({ engineFault: (call) => (call === 'stage' ? write() : undefined) });
  await using file = await open(incoming('late.sql'), 'w');
  await file.writeFile(dump('late'));
  write = async () => void (await file.write('more'));
  expect(await world.report('late.sql')).toMatchObject({
    outcome: 'refused',
    error: { code: 'drop/changed-after-claim' },
  });
  await file.write(' and more');
  expect(await readFile(world.path('failed', 'late.sql'), 'utf8')).toBe(
    `${dump('late')}more and more`,
  );
  expect(await world.liveText()).toBe(script('old'));
});

test('a backup of our own that is written to after its checksum was taken: nothing of that is loaded', async () => {
  await world.remove();
  const own = dump('own');
  const sha256 = createHash('sha256').update(own).digest('hex');
  const manifests = new Map([[sha256, { id: 'own', roles: [] } as unknown as Manifest]]);
  const staged: string[] = [];
  let write = async () => {};
  await started({
    manifests,
    engineFault: async (call) => {
      if (call === 'inspect') await write();
      if (call !== 'check') return;
      const files = await readdir(join(world.root, 'data'));
      for (const file of files.filter((name) => name !== 'app.db')) {
        staged.push(await readFile(join(world.root, 'data', file), 'utf8'));
      }
    },
  });
  await using file = await open(incoming('own.sql'), 'w');
  await file.writeFile(own);
  write = async () => void (await file.write(dump('evil'), 0));
  expect(await world.report('own.sql')).toMatchObject({
    outcome: 'refused',
    error: { code: 'drop/changed-after-claim' },
    backupId: 'own',
  });
  expect(staged).toEqual([own]);
});

test("rsync's temporary name, its partial folder, and others' are left alone until renamed", async () => {
  const temporary = ['.up.sql.Xy12Zz', 'up.sql.filepart', 'up.sql.part', 'up.sql.tmp', '~up.sql~'];
  await mkdir(incoming('.rsync-partial'));
  await writeFile(incoming('.rsync-partial/up.sql'), dump('partial'));
  for (const name of temporary) await writeFile(incoming(name), dump(name));
  await clock.advance(2 * MINUTE);
  await expectUnclaimed(incoming('.up.sql.Xy12Zz'));
  expect(world.daemon.status().queued).toBe(0);
  await rename(incoming('.up.sql.Xy12Zz'), incoming('up.sql'));
  expect(await world.report('up.sql')).toMatchObject({ outcome: 'restored' });
  expect(await world.liveText()).toBe(dump('.up.sql.Xy12Zz'));
});

test('scp in place, over a file that waits', async () => {
  await writeFile(incoming('app.sql'), dump('first').slice(0, -9));
  await clock.advance(2 * MINUTE);
  await copySlowly(incoming('app.sql'), Buffer.from(dump('second')));
  expect(await world.report('app.sql')).toMatchObject({ outcome: 'restored' });
  expect(await world.liveText()).toBe(dump('second'));
  expect(await names('done')).toHaveLength(2);
});

test.runIf(otherMount)('mv from another file system keeps its old time', async () => {
  const far = mkdtempSync(join(otherMount ?? '', 'dropback-mv-'));
  elsewhere.push(far);
  await writeFile(join(far, 'b.sql'), dump('moved_last'));
  await utimes(join(far, 'b.sql'), 1, 1);
  await writeFile(incoming('a.sql'), dump('copied_first'));
  // Both in one scan: what counts is when they came here.
  await new Promise((resolve) => setTimeout(resolve, 20));
  execFileSync('mv', [join(far, 'b.sql'), world.incoming]);
  const [first, last] = [await world.report('a.sql'), await world.report('b.sql')];
  expect(first.finishedAt <= last.finishedAt).toBe(true);
  expect(await world.liveText()).toBe(dump('moved_last'));
});

test.runIf(otherMount)('a drop folder on another file system', async () => {
  await world.remove();
  const far = mkdtempSync(join(otherMount ?? '', 'dropback-far-'));
  elsewhere.push(far);
  clock = new SteppedClock();
  world = await World.create({ config, clock });
  await rm(world.incoming, { recursive: true });
  await symlink(far, world.incoming);
  world.start();
  await copySlowly(join(far, 'far.sql'), Buffer.from(dump('far')));
  expect(await world.report('far.sql')).toMatchObject({ outcome: 'restored' });
  expect(await world.liveText()).toBe(dump('far'));
  expect(await readdir(far)).toEqual(['check']);
});

test('the same file twice: two drops, two restores, both kept', async () => {
  await writeFile(incoming('app.sql'), dump('same'));
  await world.report('app.sql');
  await writeFile(incoming('app.sql'), dump('same'));
  await world.until(async () => (await names('done')).length === 4);
  await clock.advance(2 * MINUTE);
  expect(await names('done')).toHaveLength(4);
});

test('a file that is only touched while it waits is restored once', async () => {
  let isDown = true;
  await world.remove();
  await started({
    engineFault: (call) => {
      if (call === 'probe' && isDown) throw new Error('connection refused');
    },
  });
  await writeFile(incoming('app.sql'), dump('touched'));
  for (let time = 1; time < 6; time++) {
    await clock.advance(3000);
    await utimes(incoming('app.sql'), time, time);
  }
  isDown = false;
  await world.report('app.sql');
  await clock.advance(2 * MINUTE);
  expect(await names('done')).toHaveLength(2);
});

test('three at once are restored in the order in which they were complete', async () => {
  const order: string[] = [];
  const copy = async (name: string, stall: number) => {
    const content = Buffer.from(dump(name));
    await writeFile(incoming(`${name}.sql`), content.subarray(0, 500));
    await clock.sleep(stall, new AbortController().signal);
    await appendFile(incoming(`${name}.sql`), content.subarray(500));
    order.push(`${name}.sql`);
  };
  const copies = [copy('a', 30_000), copy('b', 90_000), copy('c', 5000)];
  const reports = await Promise.all(['a.sql', 'b.sql', 'c.sql'].map((name) => world.report(name)));
  await Promise.all(copies);
  expect(order).toEqual(['c.sql', 'a.sql', 'b.sql']);
  const byEnd = reports.toSorted((a, b) => a.finishedAt.localeCompare(b.finishedAt));
  expect(byEnd.map(({ source }) => source)).toEqual(order);
  expect(await world.liveText()).toBe(dump('b'));
});

test('deleted while it waits, and between the look and the claim', async () => {
  await world.remove();
  let doomed: string | undefined;
  await started({
    engineFault: async (call) => {
      if (call !== 'probe' || doomed === undefined) return;
      await rm(doomed, { force: true });
      doomed = undefined;
    },
  });
  await writeFile(incoming('cut.sql'), dump('cut').slice(0, 900));
  await clock.advance(MINUTE);
  await rm(incoming('cut.sql'));
  doomed = incoming('gone.sql');
  await writeFile(doomed, dump('gone'));
  await clock.until('the file to go', () => doomed === undefined);
  await clock.advance(2 * MINUTE);
  expect([...(await names('done')), ...(await names('failed'))]).toEqual([]);
  expect(world.daemon.status()).toMatchObject({ state: 'idle', queued: 0, problems: [] });
  expect(await world.liveText()).toBe(script('old'));
});

test('thousands of old files: the folder stays quick, the status small, the order kept', async () => {
  await world.stop();
  for (let i = 0; i < 2000; i++) await writeFile(world.path('done', `old-${i}.sql`), '');
  for (let i = 0; i < 1000; i++) await writeFile(incoming(`note-${i}.txt`), 'x');
  const bad = Array.from({ length: 105 }, (_, i) => `bad-${(i * 11) % 105}.sql`);
  for (const name of bad) await writeFile(incoming(name), 'a letter');
  // What a copying program keeps of a file's past doesn't count.
  for (const name of bad) await utimes(incoming(name), 1, 1);
  const arrived = new Map(bad.map((name) => [name, statSync(incoming(name)).ctimeMs]));
  clock = new SteppedClock();
  world = new World(world.root, { config, clock });
  world.start();
  await world.until(() => world.daemon.status().queued > 100);
  expect(world.daemon.status().queue.length).toBeLessThanOrEqual(100);
  const filed = async () => (await names('failed')).filter((name) => !name.startsWith('.'));
  await world.until(async () => (await filed()).length === 210, 180_000);
  const filedAt = (name: string) => statSync(world.path('failed', `${name}.report.json`)).mtimeMs;
  const inOrder = bad.toSorted((a, b) => filedAt(a) - filedAt(b));
  const arrivals = inOrder.map((name) => arrived.get(name) ?? 0);
  expect(arrivals).toEqual(arrivals.toSorted((a, b) => a - b));
  await writeFile(incoming('good.sql'), dump('good'));
  expect(await world.report('good.sql')).toMatchObject({ outcome: 'restored' });
  await world.until(() => world.daemon.status().queued === 0);
  expect(await names('incoming')).toHaveLength(1001);
});
