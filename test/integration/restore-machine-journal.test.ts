import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { afterEach, expect, test } from 'vitest';
import { noCheckpoint } from '../../src/restore/checkpoint.ts';
import { Journal } from '../../src/restore/journal/journal.ts';
import { seal } from '../../src/restore/journal/sealed.ts';
import { StoppedFile } from '../../src/restore/journal/stopped.ts';
import { script, World } from '../support/restore/world.ts';

let world: World;
afterEach(() => world?.remove());

async function withJournal(files: Readonly<Record<string, string>>): Promise<World> {
  world = await World.create();
  await mkdir(world.path(), { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(world.path(name), text);
  return world;
}

const KIND = { format: 'dropback-journal', version: 1 };
const idle = { record: null, last: null };

test('no journal that can be relied on: containers start, nothing else is touched', async () => {
  await withJournal({ 'state.json': '{"format":"dropback-jou', 'state.json.1': 'x' });
  world.runtime.set('web', 'exited');
  await writeFile(`${world.live}.dropback_s_0123456789abcdef`, 'somebody’s');
  await world.drop('app.sql', script('fresh'));
  world.start();
  await world.until(() => world.daemon.status().state === 'blocked');
  await world.until(() => world.runtime.get('web') === 'running');
  expect(world.daemon.status().problems[0]?.id).toBe('journal/unusable');
  await new Promise((resolve) => setTimeout(resolve, 2000));
  expect(await world.liveText()).toBe(script('old'));
  expect(await readdir(`${world.root}/data`)).toHaveLength(2);
  expect(await readdir(world.incoming)).toContain('app.sql');
});

test('a torn newest generation: the one before is used', async () => {
  await withJournal({ 'state.json': 'torn', 'state.json.1': seal(KIND, 4, idle) });
  world.start();
  await world.drop('app.sql', script('fresh'));
  expect(await world.report('app.sql')).toMatchObject({ outcome: 'restored' });
});

test('an empty state file without a second generation is a new one', async () => {
  await withJournal({ 'state.json': '' });
  world.start();
  await world.drop('app.sql', script('fresh'));
  expect(await world.report('app.sql')).toMatchObject({ outcome: 'restored' });
});

test('stopped.json alone brings the application back', async () => {
  await withJournal({});
  await new StoppedFile(world.path('state.json'), noCheckpoint).write({
    restoreId: 'x',
    names: ['worker'],
    at: '2026-01-01T00:00:00Z',
  });
  world.runtime.set('web', 'exited');
  world.runtime.set('worker', 'exited');
  world.start();
  await world.until(() => world.runtime.get('worker') === 'running');
  expect(world.runtime.get('web')).toBe('exited');
  await world.until(async () => !(await readdir(world.path())).includes('stopped.json'));
});

test('a damaged stopped.json: every listed container is started', async () => {
  await withJournal({ 'stopped.json': 'torn' });
  world.runtime.set('web', 'exited');
  world.start();
  await world.until(() => world.runtime.get('web') === 'running');
  await world.until(async () => !(await readdir(world.path())).includes('stopped.json'));
});

test('a drop in work/ that a lost journal does not know goes back where it was dropped', async () => {
  await withJournal({});
  const folder = world.path('work', '20260101T000000Z-00000000');
  await mkdir(folder, { recursive: true });
  await writeFile(`${folder}/drop`, script('fresh'));
  const job = {
    source: { kind: 'drop', mode: 'restore' },
    name: 'app.sql',
    rawName: Buffer.from('app.sql').toString('base64'),
  };
  await writeFile(`${folder}/job.json`, JSON.stringify(job));
  world.start();
  expect(await world.report('app.sql')).toMatchObject({ outcome: 'restored' });
  // The report comes first, then the work folder goes.
  await expect.poll(() => readdir(world.path('work')), { timeout: 10_000 }).toEqual([]);
});

test('a file in work/ where there is no journal holds nothing up: no restore left it', async () => {
  await withJournal({});
  await mkdir(world.path('work'), { recursive: true });
  // The second is of a check of the folders, which goes on beside the start.
  for (const name of ['.gitkeep', '.dropback-probe.0123456789ab.tmp']) {
    await writeFile(world.path('work', name), '');
  }
  world.start();
  await world.until(() => world.daemon.status().state === 'idle');
  expect(world.daemon.status().problems).toEqual([]);
  expect(await readdir(world.path('work'))).toEqual(['.gitkeep']);
});

test('two generations alternate, the newer one counts', async () => {
  await withJournal({});
  const path = world.path('state.json');
  const journal = new Journal(path, noCheckpoint);
  await journal.load();
  for (const name of ['one', 'two', 'three']) await journal.write(null, name);
  const generation = async (file: string) => JSON.parse(await readFile(file, 'utf8')).generation;
  expect(await generation(path)).toBe(3);
  expect(await generation(`${path}.1`)).toBe(2);
  expect(await readdir(world.path())).toEqual(['incoming', 'state.json', 'state.json.1']);
});

test('what a killed daemon had written under temporary names goes, and nothing else', async () => {
  await withJournal({});
  const hex = '0123456789ab';
  const torn = [
    `.state.json.${hex}.tmp`,
    '.state.json.1.tmp',
    `.alerts.json.${hex}.tmp`,
    `.stopped.json.${hex}.tmp`,
    `.dropback-probe.${hex}.tmp`,
    `previous/.0123456789abcdef.json.${hex}.tmp`,
    `done/.app.sql.report.json.${hex}.tmp`,
    `failed/.app.sql.report.json.${hex}.tmp`,
    'requests/.0123456789abcdef.status.json.tmp',
  ];
  const others = [
    `.app.sql.${hex}.tmp`,
    'done/.app.sql.tmp',
    'requests/.0123456789abcdef.json.tmp',
  ];
  for (const folder of ['previous', 'done', 'failed', 'requests']) await mkdir(world.path(folder));
  for (const name of [...torn, ...others]) await writeFile(world.path(name), 'half');
  world.start();
  await world.until(() => world.daemon.status().state === 'idle');
  const left = await readdir(world.path(), { recursive: true });
  expect(left.filter((name) => torn.includes(name))).toEqual([]);
  expect(left.filter((name) => others.includes(name)).sort()).toEqual(others.sort());
});
