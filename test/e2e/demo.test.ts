import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test, vi } from 'vitest';

const run = promisify(execFile);
const root = new URL('../../', import.meta.url).pathname;

// Generous: other test files load the machine.
vi.setConfig({ testTimeout: 240_000 });

async function treeOf(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.map((entry) => join(entry.parentPath, entry.name)).sort();
}

test('npm run demo: rows back, nothing left in the tree or in the temporary folder', async () => {
  const scratch = await mkdtemp(join(tmpdir(), 'dropback-e2e-demo-'));
  try {
    const tree = join(scratch, 'tree');
    const temporary = join(scratch, 'tmp');
    await mkdir(tree);
    await mkdir(temporary);
    for (const name of ['package.json', 'package-lock.json', 'src', 'scripts']) {
      await cp(join(root, name), join(tree, name), { recursive: true });
    }
    // As after an installation, without installing: setting up is then nothing but a look.
    await symlink(join(root, 'node_modules'), join(tree, 'node_modules'));
    const before = await treeOf(tree);
    const env = { PATH: process.env['PATH'] ?? '', HOME: temporary, TMPDIR: temporary };
    const started = performance.now();
    const { stdout } = await run('npm', ['run', 'demo'], { cwd: tree, env, encoding: 'utf8' });
    console.log(`the demo took ${((performance.now() - started) / 1000).toFixed(1)} s`);
    expect(stdout).toContain('equal before and after');
    expect(stdout).not.toContain('NOT equal');
    expect(stdout).toMatch(/db-backup started name=shop database=sqlite:\S+shop\.db/);
    expect(await treeOf(tree)).toEqual(before);
    // What npm itself keeps in HOME and TMPDIR.
    const ofNpm = ['.npm', 'node-compile-cache'];
    expect((await readdir(temporary)).filter((name) => !ofNpm.includes(name))).toEqual([]);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
});

test('a demo that is interrupted exits non-zero, and leaves nothing either', async () => {
  const temporary = await mkdtemp(join(tmpdir(), 'dropback-e2e-demo-'));
  try {
    const env = { PATH: process.env['PATH'] ?? '', TMPDIR: temporary };
    const child = spawn(process.execPath, [join(root, 'scripts', 'demo.ts')], {
      env,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const exited = once(child, 'exit');
    for await (const chunk of child.stdout) {
      if (String(chunk).includes('db-backup started')) break;
    }
    child.kill('SIGTERM');
    expect(await exited).toEqual([130, null]);
    expect(await readdir(temporary)).toEqual([]);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
});

test('where no folder can be made, the demo says what to set', async () => {
  const env = { PATH: process.env['PATH'] ?? '', TMPDIR: '/nonexistent/of-the-demo' };
  const ran = run(process.execPath, [join(root, 'scripts', 'demo.ts')], { env });
  await expect(ran).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining('TMPDIR') });
});
