import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  rmdirSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Mounting needs root, and a container that lets it. */
export const canMount =
  process.getuid?.() === 0 && spawnSync('unshare', ['--mount', 'true']).status === 0;

/** A real file system of a few MiB, which a test fills up and frees again. */
export class SmallDisk implements Disposable {
  readonly path: string;
  readonly #ballast: string;
  readonly #isOurs: boolean;

  /** `at`: a folder that it covers; default: a temporary one. */
  constructor(mebibytes: number, at?: string) {
    this.path = at ?? mkdtempSync(join(tmpdir(), 'dropback-disk-'));
    this.#isOurs = at === undefined;
    this.#ballast = join(this.path, 'ballast');
    const options = ['-t', 'tmpfs', '-o', `size=${mebibytes}m,mode=755`, 'dropback-test'];
    execFileSync('mount', [...options, this.path]);
  }

  /** Not one byte is left, or so many. */
  fill(leave = 0): void {
    const file = openSync(this.#ballast, 'a');
    try {
      for (const size of [1024 * 1024, 4096, 1]) {
        try {
          for (;;) if (writeSync(file, Buffer.alloc(size)) === 0) break;
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
        }
      }
    } finally {
      ftruncateSync(file, fstatSync(file).size - leave);
      closeSync(file);
    }
  }

  resize(mebibytes: number): void {
    execFileSync('mount', ['-o', `remount,size=${mebibytes}m`, this.path]);
  }

  free(): void {
    rmSync(this.#ballast, { force: true });
  }

  [Symbol.dispose](): void {
    execFileSync('umount', ['-l', this.path]);
    if (this.#isOurs) rmdirSync(this.path);
  }
}
