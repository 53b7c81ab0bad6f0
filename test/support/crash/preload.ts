/**
 * `node --import`ed into the daemon and its SQLite tools: every file operation under the test's
 * folder, every program that is started and every statement of a tool is a point (see points.ts).
 * The points lie before the operations: a SIGKILL after one is a SIGKILL before the next.
 */
import childProcess, { type SpawnOptions } from 'node:child_process';
import { constants, default as fs } from 'node:fs';
import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { basename } from 'node:path';
import { Points } from './points.ts';

type Anything = (...args: unknown[]) => unknown;

const { CRASH_POINTS = '', CRASH_UNDER = '/nowhere', CRASH_SIGNAL = 'SIGKILL' } = process.env;
const points = new Points(CRASH_POINTS);
const operation = process.argv[1]?.endsWith('tool.ts') ? (process.argv[2] ?? '') : undefined;

function pass(name: string): void {
  if (!points.reached(operation === undefined ? name : `${operation}: ${name}`)) return;
  if (operation === undefined) {
    process.kill(process.pid, CRASH_SIGNAL);
    return;
  }
  process.kill(process.ppid, CRASH_SIGNAL);
  // With the daemon its tools die: `--pdeathsig`.
  if (CRASH_SIGNAL === 'SIGKILL') process.kill(process.pid, CRASH_SIGNAL);
}

/** Files whose writing is nobody's promise, and whose number depends on the time that things take. */
const IGNORED = /daemon\.json|\.db-restore\.lock/;

function pathIn(args: readonly unknown[]): string | undefined {
  const paths = args.slice(0, 2).filter((arg) => typeof arg === 'string' || Buffer.isBuffer(arg));
  const texts = paths.map(String).filter((path) => path.startsWith(CRASH_UNDER));
  const [first] = texts;
  if (first === undefined || first.startsWith(CRASH_POINTS) || IGNORED.test(first)) return;
  return texts.map((path) => basename(path).replace(/[0-9a-f]{8,}/g, '…')).join(' → ');
}

function changesNothing(name: string, args: readonly unknown[]): boolean {
  const [path, flags] = args;
  if (name === 'rm') return fs.lstatSync(path as string, { throwIfNoEntry: false }) === undefined;
  if (name !== 'open') return false;
  return typeof flags === 'number' ? (flags & constants.O_CREAT) === 0 : !/[wa]/.test(`${flags}`);
}

function watchFiles(module: object, suffix: string): void {
  const target = module as Record<string, Anything>;
  for (const name of ['rename', 'link', 'unlink', 'rm', 'mkdir', 'writeFile', 'open']) {
    const original = target[name + suffix] as Anything;
    target[name + suffix] = (...args) => {
      const path = changesNothing(name, args) ? undefined : pathIn(args);
      if (path !== undefined) pass(`${name} ${path}`);
      return original(...args);
    };
  }
}

/** Tools get an environment of their own, without NODE_OPTIONS: they are told on their line. */
function watchPrograms(): void {
  const original = childProcess.spawn as unknown as Anything;
  const spawn = (file: string, args: string[], options: SpawnOptions) => {
    const script = args.findIndex((arg) => arg.endsWith('tool.ts'));
    const program = args.includes('--') ? args[args.indexOf('--') + 1] : file;
    if (!args.includes('flock')) pass(`spawn ${basename(program ?? file)}`);
    if (script < 0) return original(file, args, options);
    const own = args.toSpliced(script, 0, '--import', import.meta.url);
    const env = { ...options.env, CRASH_POINTS, CRASH_UNDER, CRASH_SIGNAL };
    return original(file, own, { ...options, env });
  };
  Object.assign(childProcess, { spawn });
}

async function watchSqlite(): Promise<void> {
  const { default: Database } = await import('better-sqlite3');
  const target = Database.prototype as unknown as Record<string, Anything>;
  for (const name of ['exec', 'prepare', 'backup']) {
    const original = target[name] as Anything;
    target[name] = function (this: unknown, ...args) {
      const said = typeof args[0] === 'string' && name !== 'backup' ? ` ${args[0]}` : '';
      if (!/^ (SELECT|PRAGMA \w+$|PRAGMA trusted)/.test(said)) pass(`${name}${said.slice(0, 60)}`);
      return original.apply(this, args);
    };
  }
}

watchFiles(promises, '');
watchFiles(fs, 'Sync');
if (operation === undefined) watchPrograms();
else if (operation !== 'lock') await watchSqlite();
syncBuiltinESMExports();
