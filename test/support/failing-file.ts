import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  truncateSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Loop devices need root, and a container that lets it. */
export const canFailReads =
  process.getuid?.() === 0 && spawnSync('losetup', ['--find']).status === 0;

const BLOCK_BYTES = 1024;
const ROOM_BYTES = 16 * 1024 * 1024;

/**
 * Puts a file of a few MiB onto a failing disk, under its own name: the kernel reports EIO to whoever
 * reads it, from byte `from` on. That disk is a real file system whose device ends too early.
 */
export class FailingFile implements Disposable {
  readonly #path: string;
  readonly #folder: string;

  constructor(path: string, from = 0) {
    this.#path = path;
    this.#folder = mkdtempSync(join(tmpdir(), 'dropback-failing-'));
    const image = join(this.#folder, 'image');
    const disk = join(this.#folder, 'disk');
    mkdirSync(disk);
    closeSync(openSync(image, 'w'));
    truncateSync(image, ROOM_BYTES);
    const options = ['-q', '-b', String(BLOCK_BYTES), '-O', '^has_journal', image];
    execFileSync('mkfs.ext4', options);
    const copy = join(disk, 'file');
    execFileSync('mount', ['-o', 'loop', image, disk]);
    try {
      copyFileSync(path, copy);
      const file = openSync(copy, 'r+');
      fsyncSync(file);
      closeSync(file);
      const start = firstBlock(copy) * BLOCK_BYTES;
      // Nothing of it may stay in the page cache.
      execFileSync('umount', [disk]);
      execFileSync('mount', ['-o', 'loop', image, disk]);
      statSync(copy);
      truncateSync(image, start + Math.floor(from / BLOCK_BYTES) * BLOCK_BYTES);
      execFileSync('mount', ['--bind', copy, path]);
    } catch (error) {
      execFileSync('umount', ['-l', disk]);
      throw error;
    }
  }

  /** The file is what it was, and readable. */
  [Symbol.dispose](): void {
    execFileSync('umount', ['-l', this.#path]);
    execFileSync('umount', ['-l', join(this.#folder, 'disk')]);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** In one piece, on a new file system: so much is asserted. */
function firstBlock(path: string): number {
  const said = execFileSync('filefrag', ['-v', path], { encoding: 'utf8' });
  const extents = [...said.matchAll(/^\s+\d+:\s+\d+\.\.\s*\d+:\s+(\d+)\.\.\s*\d+:/gm)];
  if (extents.length !== 1) throw new Error(`not in one piece:\n${said}`);
  return Number(extents[0]?.[1]);
}
