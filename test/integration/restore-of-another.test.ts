import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import type { RestoreState } from '../../src/core/engines/engine.ts';
import { RequestClient } from '../../src/core/requests/client.ts';
import type { RequestResult } from '../../src/core/requests/protocol.ts';
import { noCheckpoint } from '../../src/restore/checkpoint.ts';
import { PreviousRecords } from '../../src/restore/journal/previous-records.ts';
import type { JobRecord } from '../../src/restore/journal/record.ts';
import { interrupt, journal } from '../support/restore/interrupted.ts';
import { script, World } from '../support/restore/world.ts';
import { SteppedClock } from '../support/stepped-clock.ts';

const HOUR = 3_600_000;
const config = { keepPreviousMs: HOUR, pollIntervalMs: 30_000 };
const signal = new AbortController().signal;

let world: World;
let clock: SteppedClock;
afterEach(() => world?.remove());

async function create(): Promise<void> {
  clock = new SteppedClock();
  world = await World.create({ config, clock });
}

/** The next daemon on the same folders; it is set to this database. */
async function setTo(database: string): Promise<void> {
  await world.stop();
  clock = new SteppedClock(clock.now().getTime());
  world = new World(world.root, { config, clock, database });
}

async function begin(): Promise<void> {
  world.start();
  await world.until(() => world.daemon.status().state === 'idle');
}

async function restored(name: string): Promise<void> {
  await world.drop(`${name}.sql`, script(name));
  const { outcome, previous } = await world.report(`${name}.sql`);
  expect(outcome).toBe('restored');
  await world.until(() => world.daemon.status().previous[0]?.id === previous?.id);
}

async function undo(): Promise<RequestResult> {
  const client = new RequestClient(world.path('requests'), clock);
  const id = await client.submit({ kind: 'undo' }, signal);
  await world.until(async () => (await client.status(id))?.result !== undefined);
  return (await client.status(id))?.result as RequestResult;
}

const textOf = (name: string) => readFile(join(world.root, 'data', name), 'utf8');
const REFUSED = { outcome: 'refused', error: { code: 'restore/previous-of-another' } };

test('what was kept of one database is neither swapped into another, nor dropped for it', async () => {
  await create();
  await begin();
  await restored('first');
  await setTo('other.db');
  await writeFile(world.live, script('others'));
  await begin();
  expect(await undo()).toMatchObject({ exitCode: 3, report: REFUSED });
  expect(await textOf('other.db')).toBe(script('others'));
  await restored('second');
  const { previous } = world.daemon.status();
  expect(previous).toMatchObject([{ replacedBy: 'second.sql' }, { ofAnother: true }]);
  expect(await undo()).toMatchObject({ exitCode: 0 });
  expect(await textOf('other.db')).toBe(script('others'));
  await clock.advance(1.5 * HOUR);
  await world.until(() => world.daemon.status().previous.length === 1);
  expect(world.daemon.status()).toMatchObject({ previous: [{ ofAnother: true }], problems: [] });

  await setTo('app.db');
  await begin();
  expect(await undo()).toMatchObject({ exitCode: 0, report: { outcome: 'undone' } });
  expect(await textOf('app.db')).toBe(script('old'));
});

test('what PostgreSQL has kept is no reason to fail where SQLite is live now', async () => {
  await create();
  await mkdir(world.path('previous'), { recursive: true });
  const id = '0123456789abcdef';
  const name = `dropback_p_${id}`;
  await new PreviousRecords(world.path('previous'), noCheckpoint).add({
    previous: { id, engine: 'postgres', name, identity: '17', replacedAt: justNow(), bytes: 1 },
    restoreId: 'x',
    replacedBy: 'app.sql',
    state: { engine: 'postgres', id, target: 'live', liveName: 'app' },
  });
  await begin();
  const result = await undo();
  expect(result).toMatchObject({ exitCode: 3, report: REFUSED });
  expect(result.report?.error?.message).toContain(name);
  await restored('first');
  expect(await undo()).toMatchObject({ exitCode: 0 });
  await clock.advance(1.5 * HOUR);
  await world.until(() => world.daemon.status().previous.length === 1);
  expect(world.daemon.status()).toMatchObject({ previous: [{ id }], problems: [] });
});

test('a damaged record is told with what to do, and keeps nothing from being restored', async () => {
  await create();
  await mkdir(world.path('previous'), { recursive: true });
  const name = '0123456789abcdef.json';
  await writeFile(world.path('previous', name), 'torn');
  await begin();
  await world.until(() => world.daemon.status().problems.length > 0);
  const [problem] = world.daemon.status().problems;
  expect(problem).toMatchObject({ id: 'previous/damaged' });
  expect(problem?.message).toContain(name);
  await restored('first');
  expect(await undo()).toMatchObject({ exitCode: 0 });
});

test.each([
  ['another kind of database', { engine: 'postgres', liveName: 'app' }],
  ['another database', { engine: 'sqlite', id: 'f'.repeat(16), live: '/data/other.db' }],
])(
  'an interrupted restore was of %s: the application is back, the drop is not loaded here',
  async (_, state) => {
    await create();
    await mkdir(world.path('work'), { recursive: true });
    await interrupt(world, { step: 'swap', change: { state: state as RestoreState } });
    await begin();
    const report = await world.report('app.sql');
    expect(report).toMatchObject({
      outcome: 'failed',
      folder: 'failed',
      error: { code: 'restore/of-another-database' },
    });
    expect(['web', 'worker'].map((name) => world.runtime.get(name))).toEqual([
      'running',
      'running',
    ]);
    expect(await world.liveText()).toBe(script('old'));
    expect(await readFile(world.path('failed', 'app.sql'), 'utf8')).toBe(script('fresh'));
    expect(await readdir(world.path('work'))).toEqual([]);
  },
);

test('an interrupted undo is not carried out in another database', async () => {
  await create();
  await begin();
  await restored('first');
  const [kept] = world.daemon.status().previous;
  if (!kept) throw new Error('nothing is kept');
  await setTo('other.db');
  await writeFile(world.live, script('others'));
  const { ofAnother: _, keptUntil: __, replacedBy: ___, ...previous } = kept;
  const record: JobRecord = {
    job: {
      id: '20260101T000000Z-0123456789abcdef',
      kind: 'undo',
      source: { kind: 'request', requestId: '0123456789abcdef' },
      name: kept.name,
      rawName: '',
      force: false,
      target: { kind: 'live' },
      previous,
      startedAt: '2026-01-01T00:00:00Z',
    },
    attempt: 1,
    step: 'claim',
    phase: 'intent',
    swapped: false,
    steps: [],
    warnings: [],
  };
  await journal(world, record);
  await begin();
  await world.until(() => world.daemon.status().last?.kind === 'undo');
  expect(world.daemon.status().last).toMatchObject(REFUSED);
  expect(await textOf('other.db')).toBe(script('others'));
  expect(await textOf('app.db')).toBe(script('first'));
});

const justNow = () => clock.now().toISOString();
