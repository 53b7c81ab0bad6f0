import { World } from './world.ts';

/**
 * A daemon in a process of its own that kills itself at the n-th checkpoint (0: never). Ends by
 * itself when the drop is filed away and nothing is left to do.
 */
const [root = '', nth = '0', stopFirst = 'false'] = process.argv.slice(2);
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
  config: { stopFirst: stopFirst === 'true', pollIntervalMs: 200 },
});
world.start();
await world.report('app.sql');
await world.until(() => world.daemon.status().state === 'idle');
await world.stop();
process.stdout.write(`ended after ${passed}\n`);
