import { World } from './world.ts';

/** A daemon on the world's folders in a process of its own, until standard input ends. */
const [root = ''] = process.argv.slice(2);
const world = new World(root, { config: { pollIntervalMs: 200, settleMs: 1000 } });
world.start();
process.stdin.resume();
process.stdin.once('end', () => void world.stop());
