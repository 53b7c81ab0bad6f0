// Installs the project's packages when they are missing or older than the lock file.
// Runs on Node 18 or newer, without any dependency. Used by every npm script that needs them.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stamp = join(root, 'node_modules', '.dropback-setup');

/** Path of the Node 24 that the `node` package brought. */
export const projectNode = join(root, 'node_modules', 'node', 'bin', 'node');

export function setup() {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < 18) {
    console.error(`dropback needs Node 18 or newer to set itself up; this is ${process.version}.`);
    process.exit(1);
  }
  const lock = readFileSync(join(root, 'package-lock.json'));
  const wanted = createHash('sha256').update(lock).digest('hex');
  if (existsSync(stamp) && existsSync(projectNode) && readFileSync(stamp, 'utf8') === wanted)
    return;

  console.log('setting up: installing packages (once, some 30 s) …');
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  // No install scripts: what is used here carries its binaries, and npm would compile some anew,
  // which needs a compiler. The `node` package alone needs its script, to fetch Node for this CPU.
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const result = spawnSync(npm, args, { cwd: root, stdio: 'inherit' });
  if (result.status !== 0) {
    console.error('npm ci failed: see the lines above; a registry that can be reached is needed.');
    process.exit(result.status ?? 1);
  }
  const rebuild = ['rebuild', 'node', '--ignore-scripts=false', '--loglevel=error'];
  spawnSync(npm, rebuild, { cwd: root, stdio: 'inherit' });
  if (!existsSync(projectNode)) {
    rmSync(stamp, { force: true });
    console.error(
      'the node package has no binary: allow its install script (npm install-scripts).',
    );
    process.exit(1);
  }
  writeFileSync(stamp, wanted);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) setup();
