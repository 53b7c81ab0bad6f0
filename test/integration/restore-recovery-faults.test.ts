import { readFileSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { systemClock } from '../../src/core/runtime/clock.ts';
import { DropbackError } from '../../src/core/runtime/errors.ts';
import { failSyncBelow } from '../support/failing-sync.ts';
import { interrupt, journal, note } from '../support/restore/interrupted.ts';
import { script, World, type WorldOptions } from '../support/restore/world.ts';
import { SteppedClock } from '../support/stepped-clock.ts';

vi.setConfig({ maxConcurrency: 6, testTimeout: 120_000 });

/** A second fault meets the daemon that finds an interrupted restore. */
describe.concurrent('what is found at the start', () => {
  /** Not started. Its clock is stepped: a wait costs nothing. */
  async function found(options: WorldOptions = {}): Promise<World> {
    const world = await World.create({ clock: new SteppedClock(), ...options });
    for (const name of ['incoming/check', 'work', 'done', 'failed', 'previous', 'requests']) {
      await mkdir(world.path(name), { recursive: true });
    }
    return world;
  }

  const areUp = (world: World, ...names: string[]) =>
    world.until(() => names.every((name) => world.runtime.get(name) === 'running'));
  /** As soon as no stop can come late. */
  const isOver = async (world: World) => {
    await world.pass(25_000);
    await world.until(async () => !(await isNoted(world)));
  };
  const isNoted = async (world: World) => (await readdir(world.path())).includes('stopped.json');

  test.each(['', '{"format":"dropback-st', '{"hello":"world"}'])(
    'swapped, and stopped.json is worthless (%j): the application is back all the same',
    async (text) => {
      await using world = await found();
      await interrupt(world, { step: 'swap', isSwapped: true });
      await note(world, text);
      world.start();
      await areUp(world, 'web', 'worker');
      expect(await world.report('app.sql')).toMatchObject({ outcome: 'restored', attempts: 1 });
      expect(await world.liveText()).toBe(script('fresh'));
      await isOver(world);
    },
  );

  test.each([
    ['swapped', 'swap', true],
    ['swapped, and said so', 'start', true],
    ['not swapped', 'swap', false],
  ] as const)(
    '%s, and nothing can be written: the application is back before the disk is',
    async (_, step, isSwapped) => {
      await using world = await found();
      await interrupt(world, { step, isSwapped, change: { swapped: step === 'start' } });
      using failing = await failSyncBelow(world.root);
      world.start();
      await areUp(world, 'web', 'worker');
      await world.until(() => world.daemon.status().problems.length > 0);
      expect(world.daemon.status().problems[0]?.id).toBe('disk/failing');
      expect(await world.liveText()).toBe(script(isSwapped ? 'fresh' : 'old'));
      failing[Symbol.dispose]();
      expect(await world.report('app.sql')).toMatchObject({ outcome: 'restored' });
      await areUp(world, 'web', 'worker');
      await isOver(world);
    },
  );

  test('the journal cannot be read at all: what stopped.json says is started', async () => {
    await using world = await found();
    await interrupt(world, { step: 'swap' });
    const written = await readFile(world.path('state.json'));
    await rm(world.path('state.json'));
    // As Docker makes it where the file of a bind mount is missing.
    await mkdir(world.path('state.json'));
    world.start();
    await areUp(world, 'web', 'worker');
    await world.until(() => world.daemon.status().problems.length > 0);
    expect(world.daemon.status().problems[0]?.id).toBe('disk/not-a-file');
    await rm(world.path('state.json'), { recursive: true });
    await writeFile(world.path('state.json'), written);
    expect(await world.report('app.sql')).toMatchObject({ outcome: 'restored' });
  });

  test('no journal can be used, and a listed container is gone: the others are started', async () => {
    await using world = await found({ stop: ['gone', 'web', 'worker'] });
    await interrupt(world, { step: 'swap' });
    await writeFile(world.path('state.json'), 'torn');
    await note(world, 'torn');
    world.start();
    await areUp(world, 'web', 'worker');
    await world.until(() => world.daemon.status().state === 'blocked');
  });

  test('the start of one container hangs in Docker: the others are started meanwhile', async () => {
    let hangs = true;
    await using world = await found({
      containerFault: (call) => {
        if (hangs && call === 'start worker') throw unanswered();
      },
    });
    await interrupt(world, { step: 'swap', isSwapped: true });
    world.start();
    await areUp(world, 'web');
    await world.until(() => world.daemon.status().problems.length > 0);
    expect(world.daemon.status().problems[0]?.message).toContain('worker');
    hangs = false;
    await areUp(world, 'worker');
    expect(await world.report('app.sql')).toMatchObject({ outcome: 'restored' });
  });

  test('fewer containers are listed than a restore has stopped: all come back', async () => {
    await using world = await found({ stop: ['web'] });
    await interrupt(world, { step: 'stop' });
    world.start();
    await areUp(world, 'web', 'worker');
    expect(await world.report('app.sql')).toMatchObject({ outcome: 'restored', stopped: ['web'] });
  });

  test.each([
    ['the journal is lost', false],
    ['the journal says that nothing is in hand', true],
  ])('%s while a container stops: it is started when that takes effect', async (_, isThere) => {
    await using world = await found(LATE);
    if (isThere) await journal(world, null);
    await note(world, ['web', 'worker']);
    world.start();
    await world.until(() => world.daemon.status().state === 'idle');
    world.runtime.set('web', 'exited');
    await areUp(world, 'web');
  });

  test('journal and stopped.json are lost in a restore: every listed container is started', async () => {
    await using world = await found();
    await interrupt(world, { step: 'stop' });
    const work = world.path('work', '20260101T000000Z-1f2e3d4c');
    const job = {
      kind: 'restore',
      target: { kind: 'live' },
      source: { kind: 'drop' },
      name: 'app.sql',
    };
    const rawName = Buffer.from('app.sql').toString('base64');
    await writeFile(join(work, 'job.json'), JSON.stringify({ ...job, rawName }));
    for (const name of ['state.json', 'stopped.json']) await rm(world.path(name));
    world.start();
    await areUp(world, 'web', 'worker');
    const report = await world.report('app.sql');
    expect(report).toMatchObject({ outcome: 'restored', stopped: ['web', 'worker'] });
  });

  test('a container came back and was being stopped again: started when that takes effect', async () => {
    await using world = await found({
      ...LATE,
      engineFault: (call) => (call === 'inspect' ? refuse() : undefined),
    });
    await interrupt(world, { step: 'swap', change: { stoppingAgain: true } });
    world.runtime.set('web', 'running');
    world.start();
    await world.report('app.sql');
    world.runtime.set('web', 'exited');
    await areUp(world, 'web', 'worker');
  });

  test('a container that came back is noted as being stopped again, before it is', async () => {
    const noted: unknown[] = [];
    let cameBack = false;
    await using world = await found({
      checkpoint: (name) => {
        if (name !== 'before step swap') return;
        cameBack = true;
        world.runtime.set('web', 'running');
      },
      containerFault: (call) => {
        if (!cameBack || call !== 'stop web') return;
        noted.push(JSON.parse(readFileSync(world.path('state.json'), 'utf8')).body.record);
      },
    });
    world.start();
    await world.drop('app.sql', script('fresh'));
    expect(await world.report('app.sql')).toMatchObject({ outcome: 'restored' });
    expect(noted).toMatchObject([{ step: 'swap', stoppingAgain: true }]);
    expect(await isNoted(world)).toBe(false);
  });

  test('the database does not say which one is live: told as a problem meanwhile', async () => {
    let isAway = true;
    await using world = await found({
      engineFault: (call) => {
        if (isAway && call === 'outcome') throw new Error('connection refused');
      },
    });
    await interrupt(world, { step: 'swap', isSwapped: true });
    world.start();
    await world.until(() => world.daemon.status().problems.length > 0);
    // Not for ever: who has waited for a minute is started.
    await areUp(world, 'web', 'worker');
    isAway = false;
    expect(await world.report('app.sql')).toMatchObject({ outcome: 'restored' });
    await world.until(() => world.daemon.status().problems.length === 0);
  });
});

/** A stop may take effect for ten minutes: however slow the machine is, the test is within them. */
const LATE: WorldOptions = { clock: systemClock, stopGraceSeconds: 600 };

function unanswered(): DropbackError {
  return new DropbackError('containers/unreachable', 'could not start worker: no answer', {
    hint: 'look at Docker.',
    retryable: true,
  });
}

function refuse(): never {
  throw new Error('not again');
}
