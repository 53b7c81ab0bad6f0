import { readdir } from 'node:fs/promises';
import { script, World } from './world.ts';

/**
 * A daemon in a process of its own. -1: restores `fresh`, so that there is something to undo; else
 * it carries out what is asked of it, and kills itself at the n-th checkpoint (0: never).
 */
const [root = '', nth = '0'] = process.argv.slice(2);
let passed = 0;
const checkpoint = (name: string) => {
  passed += 1;
  if (passed !== Number(nth)) return;
  process.stdout.write(`${name}\n`);
  process.kill(process.pid, 'SIGKILL');
};

const world = new World(root, {
  checkpoint,
  engineFault: (call) => checkpoint(`engine ${call}`),
  containerFault: (call) => {
    if (!call.startsWith('inspect')) checkpoint(`containers ${call}`);
  },
  config: { pollIntervalMs: 200 },
});
world.start();
if (nth === '-1') {
  await world.drop('app.sql', script('fresh'));
  await world.report('app.sql');
} else {
  const isDone = (name: string) => !/^[0-9a-f]{16}(\.taken)?\.json$/.test(name);
  await world.until(async () => (await readdir(world.path('requests'))).every(isDone), 60_000);
}
await world.until(() => world.daemon.status().state === 'idle');
await world.stop();
process.stdout.write(`ended after ${passed}\n`);
