import { accessSync, constants, statSync } from 'node:fs';
import { join } from 'node:path';
import { programFolders } from '../../config/host.ts';
import { DropbackError } from '../errors.ts';

/** Absolute path of a program on PATH, or undefined. */
export function findProgram(name: string): string | undefined {
  for (const folder of programFolders()) {
    const path = join(folder, name);
    if (isExecutable(path)) return path;
  }
  return undefined;
}

/** As findProgram, but a missing program is an error that says how to get it. */
export function requireProgram(name: string, packageName = name): string {
  const path = findProgram(name);
  if (path) return path;
  throw new DropbackError('tool/missing', `the program ${name} is not installed`, {
    hint: `install the package ${packageName}; the dropback image has it.`,
    facts: { program: name },
  });
}

export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
