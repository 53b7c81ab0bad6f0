/**
 * Where the test bed keeps what it downloads, builds and runs: one folder outside the
 * repository, with testbed.json as the record of what is up. Deleting the folder while
 * nothing runs is always safe; it is rebuilt.
 */
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isAlive, startTime } from './processes.mjs';

const uid = process.getuid?.() ?? 0;

/** The state folder. DROPBACK_TESTBED_DIR moves it (it must be on a local disk). */
export const stateDir =
  process.env.DROPBACK_TESTBED_DIR || join(tmpdir(), `dropback-testbed-${uid}`);
const recordFile = join(stateDir, 'testbed.json');
const lockDir = join(stateDir, 'lock');

/** Creates the state folder; refuses one that someone else put there (the name is predictable). */
export function openStateDir() {
  mkdirSync(stateDir, { recursive: true, mode: 0o755 });
  const found = lstatSync(stateDir);
  if (!found.isDirectory() || found.uid !== uid) {
    throw new Error(
      `${stateDir} belongs to uid ${found.uid}: remove it or set DROPBACK_TESTBED_DIR`,
    );
  }
  // The postgres user has to pass through, whatever the umask says.
  chmodSync(stateDir, 0o755);
  return stateDir;
}

/** A folder inside the state folder, created. */
export function stateSubdir(name, mode = 0o755) {
  const dir = join(openStateDir(), name);
  mkdirSync(dir, { recursive: true, mode });
  return dir;
}

/** What earlier runs recorded: `{ part: {...} }`, empty when there is nothing. */
export function readRecord() {
  try {
    return JSON.parse(readFileSync(recordFile, 'utf8'));
  } catch {
    return {};
  }
}

/** Replaces one part of the record; `undefined` forgets the part. Mode 0600: it holds passwords. */
export function record(part, value) {
  openStateDir();
  const all = readRecord();
  if (value === undefined) delete all[part];
  else all[part] = value;
  const partial = `${recordFile}.${process.pid}`;
  writeFileSync(partial, `${JSON.stringify(all, null, 2)}\n`, { mode: 0o600 });
  renameSync(partial, recordFile);
}

/** Runs `work` alone: a second up or down waits for the first, at most `waitMs`. */
export async function withLock(work, waitMs = 15 * 60_000) {
  openStateDir();
  const owner = join(lockDir, 'owner.json');
  const until = Date.now() + waitMs;
  for (;;) {
    try {
      mkdirSync(lockDir);
      writeFileSync(owner, JSON.stringify({ pid: process.pid, started: startTime(process.pid) }));
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      if (ownerIsGone(owner)) {
        rmSync(lockDir, { recursive: true, force: true });
        continue;
      }
    }
    if (Date.now() > until) throw new Error(`another test bed run holds ${lockDir}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  try {
    return await work();
  } finally {
    rmSync(lockDir, { recursive: true, force: true });
  }
}

function ownerIsGone(owner) {
  try {
    return !isAlive(JSON.parse(readFileSync(owner, 'utf8')));
  } catch {
    // Between mkdir and the write of owner.json there is nothing to read: only an old lock is dead.
    try {
      return Date.now() - lstatSync(lockDir).mtimeMs > 5000;
    } catch {
      return false;
    }
  }
}
