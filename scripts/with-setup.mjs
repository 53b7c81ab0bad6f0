// `node scripts/with-setup.mjs scripts/X.ts [args]`: sets up, then runs X.ts under the project's
// own Node 24, which runs TypeScript as it stands.
import { spawn } from 'node:child_process';
import { delimiter, dirname, join } from 'node:path';
import { projectNode, root, setup } from './setup.mjs';

setup();
const [script, ...args] = process.argv.slice(2);
const path = [dirname(projectNode), join(root, 'node_modules', '.bin'), process.env.PATH];
const child = spawn(
  projectNode,
  ['--disable-warning=ExperimentalWarning', join(root, script), ...args],
  {
    stdio: 'inherit',
    env: { ...process.env, PATH: path.join(delimiter) },
  },
);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('exit', (code, signal) => process.exit(signal ? 128 : (code ?? 1)));
