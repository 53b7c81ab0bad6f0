import { execFileSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

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

/** Needs root, loop devices, and e2fsprogs: tried once. Without them there are fewer tests. */
export const canFailReads = process.getuid?.() === 0 && isFailing();

function isFailing(): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'dropback-failing-'));
  const path = join(folder, 'file');
  try {
    writeFileSync(path, 'x'.repeat(10_000));
    using _failing = new FailingFile(path);
    return codeOf(() => readFileSync(path)) === 'EIO';
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function codeOf(work: () => void): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
}
