import { expect, test } from 'vitest';
import { SqliteSite } from '../../support/crash/sqlite-site.ts';
import { CrashWorld, RUN_THROUGH } from '../../support/crash/world.ts';

test('two daemons on one folder: one works, the other waits, says so, and takes over', {
  timeout: 300_000,
}, async () => {
  await using world = await CrashWorld.create(await SqliteSite.create('wal'));
  await world.round(RUN_THROUGH);
  const spare = world.standBy();
  await spare.says(/another db-restore works on this folder: waiting/, 120_000);
  await world.round(RUN_THROUGH);
  expect(spare.output).not.toContain('watching for drops');
  expect(spare.output).not.toContain('"step"');

  // The one that works dies with the application stopped: the other brings all in order.
  const stopped = { name: 'docker: stop worker done', after: 'docker: stop worker' };
  const { killedAt } = await world.round({ point: stopped });
  expect(killedAt).toBe(stopped.name);
  expect(world.daemon).toBe(spare);
  expect((await world.lastReport())?.attempts).toBe(2);
});
