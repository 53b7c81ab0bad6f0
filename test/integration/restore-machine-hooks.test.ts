import { readFile } from 'node:fs/promises';
import { afterEach, expect, test } from 'vitest';
import { script, World, type WorldOptions } from '../support/restore/world.ts';

let world: World;
afterEach(() => world?.remove());

/** Hooks that note what they were told, and which containers ran at that moment. */
async function started(pre = 'true', options: WorldOptions = {}, post = 'true'): Promise<World> {
  const { root } = await World.create();
  const note = (name: string) =>
    `echo "${name} $DROPBACK_KIND $DROPBACK_SOURCE \${DROPBACK_OUTCOME:-} \${DROPBACK_ERROR_CODE:-}" ` +
    `"\${DROPBACK_DOWNTIME_MS:+down}" $(cat ${root}/containers/web) >> ${root}/hooks`;
  const hooks = {
    pre: `${note('pre')}; ${pre}`,
    post: `${note('post')}; ${post}`,
    timeoutMs: 60_000,
  };
  world = new World(root, { hooks, ...options });
  return world.start();
}

/** What the hooks noted, a line a hook, spaces made one. */
async function told(): Promise<string[]> {
  const text = await readFile(`${world.root}/hooks`, 'utf8').catch(() => '');
  return text
    .split('\n')
    .map((line) => line.replace(/ +/g, ' ').trim())
    .filter((line) => line !== '');
}

test('the pre-hook runs before the first stop, the post-hook when the application is back', async () => {
  await started('true', {}, 'echo broken >&2; exit 2');
  await world.drop('app.sql', script('fresh'));
  const report = await world.report('app.sql');
  expect(report.outcome).toBe('restored');
  // A post-hook that fails changes nothing any more.
  expect(report.warnings).toContainEqual(expect.stringMatching(/RESTORE_POST_HOOK failed.*broken/));
  expect(await told()).toEqual([
    'pre restore app.sql running',
    'post restore app.sql restored down running',
  ]);
});

test('a pre-hook that fails refuses the restore; nothing was stopped', async () => {
  const stops: string[] = [];
  await started('echo not today; exit 9', {
    // Where containers are stopped earliest.
    config: { stopFirst: true },
    containerFault: (call) => {
      if (call.startsWith('stop')) stops.push(call);
    },
  });
  await world.drop('app.sql', script('fresh'));
  const report = await world.report('app.sql');
  expect(report).toMatchObject({ outcome: 'refused', folder: 'failed', attempts: 1 });
  expect(report.error).toMatchObject({ code: 'hook/failed', facts: { exitCode: 9 } });
  expect(report.error?.facts?.['output']).toEqual(['not today']);
  expect(stops).toEqual([]);
  expect(await world.liveText()).toBe(script('old'));
  expect(await told()).toEqual([
    'pre restore app.sql running',
    'post restore app.sql refused hook/failed running',
  ]);
});

test('a dump that is refused has only the post-hook, a check has none', async () => {
  await started();
  await world.drop('bad.sql', 'PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE a(x);\n');
  expect(await world.report('bad.sql')).toMatchObject({ outcome: 'refused' });
  expect(await told()).toEqual([
    expect.stringMatching(/^post restore bad.sql refused drop\/\S+ running$/),
  ]);
  await world.drop('good.sql', script('fresh'), `${world.incoming}/check`);
  expect(await world.report('good.sql')).toMatchObject({ outcome: 'checked' });
  expect(await told()).toHaveLength(1);
});
