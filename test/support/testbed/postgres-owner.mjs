/**
 * A PostgreSQL server in a folder of this machine, data and socket in it. It refuses to run as root:
 * then it runs as Debian's postgres user, otherwise as whoever starts it.
 */
import { execFileSync } from 'node:child_process';
import { appendFileSync, chownSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { initdbArgs } from './postgres-settings.mjs';
import { run } from './processes.mjs';

/** Whether the server runs as somebody else, who needs a way to its folder. */
export const hasOwnUser = process.getuid?.() === 0;

/** The data folder of the server in `folder`. */
export function dataIn(folder) {
  return join(folder, 'data');
}

/** @param {string[]} paths */
export function giveToOwner(...paths) {
  if (!hasOwnUser) return;
  const id = (flag) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
  const [uid, gid] = [id('-u'), id('-g')];
  for (const path of paths) chownSync(path, uid, gid);
}

/**
 * A program as the server's owner, who may have no way to the current folder: to be run in `/`.
 * @param {string} program
 * @param {readonly string[]} args
 * @returns {[string, string[]]}
 */
export function asOwner(program, args) {
  if (!hasOwnUser) return [program, [...args]];
  const as = ['--reuid=postgres', '--regid=postgres', '--init-groups', '--'];
  return ['setpriv', [...as, program, ...args]];
}

/**
 * As the server's owner, to its end.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {number} [timeoutMs]
 */
export async function runAsOwner(program, args, timeoutMs = 60_000) {
  return await run(...asOwner(program, args), { timeoutMs, cwd: '/' });
}

/**
 * A new cluster in `folder`, its superuser postgres. Without a password everybody is trusted.
 * @param {{binDir: string, folder: string, password?: string, args?: readonly string[]}} options
 *   `args`: further ones of initdb.
 */
export async function initialize({ binDir, folder, password, args = [] }) {
  giveToOwner(folder);
  const passwordFile = join(folder, 'password');
  const auth = password === undefined ? ['--auth=trust'] : ['--auth=scram-sha-256'];
  if (password !== undefined) {
    writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
    giveToOwner(passwordFile);
    auth.push(`--pwfile=${passwordFile}`);
  }
  const all = ['-D', dataIn(folder), ...auth, '--username=postgres', ...initdbArgs, ...args];
  await runAsOwner(join(binDir, 'initdb'), all);
  rmSync(passwordFile, { force: true });
  configure(folder, { listen_addresses: '127.0.0.1', unix_socket_directories: folder });
}

/**
 * Settings for its next start; they win over earlier ones.
 * @param {string} folder
 * @param {Readonly<Record<string, string | number>>} settings
 */
export function configure(folder, settings) {
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value}'`);
  appendFileSync(join(dataIn(folder), 'postgresql.conf'), `\n${lines.join('\n')}\n`);
}

/**
 * Settles when it accepts connections.
 * @param {{binDir: string, folder: string, logFile: string, options?: string}} server
 *   `options`: of the server program.
 */
export async function startServer({ binDir, folder, logFile, options = '' }) {
  const args = ['-D', dataIn(folder), '-l', logFile, '-w', '-t', '120', '-o', options, 'start'];
  await runAsOwner(join(binDir, 'pg_ctl'), args, 150_000).catch((error) => {
    throw new Error(`${error.message}\n  log: ${logFile}`);
  });
}

/**
 * What ends it, and returns when it has ended.
 * @param {{binDir: string, folder: string}} server
 * @param {'fast' | 'immediate'} mode
 * @returns {[string, string[]]}
 */
export function stopCommand({ binDir, folder }, mode) {
  const args = ['-D', dataIn(folder), '-m', mode, '-w', '-t', '60', 'stop'];
  return [join(binDir, 'pg_ctl'), args];
}
