import { execFile } from 'node:child_process';
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from '../setup.mjs';

const run = promisify(execFile);

/** Builds the program as the image has it; resolves with the folder of its entry points. */
export async function buildProgram(): Promise<string> {
  const folder = join(root, '.cache', 'bench', 'program');
  await mkdir(folder, { recursive: true });
  const compiler = join(root, 'node_modules', '.bin', 'tsc');
  const args = ['-p', 'tsconfig.build.json', '--outDir', join(folder, 'dist')];
  await run(compiler, args, { cwd: root });
  await copyFile(join(root, 'package.json'), join(folder, 'package.json'));
  return join(folder, 'dist', 'bin');
}
