/**
 * A PostgreSQL server of the test bed's own on this machine: own data folder, own port, own
 * password. As root it runs as Debian's postgres user, otherwise as whoever runs the tests.
 */
import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  chownSync,
  existsSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { aptInstall } from './debian.mjs';
import { initdbArgs, settings, superuserUrl } from './postgres-settings.mjs';
import { firstLine, freePort, isAlive, run, startTime } from './processes.mjs';
import { readRecord, record, stateSubdir } from './state.mjs';

/**
 * @param {15} major
 * @returns {Promise<{line: string, value: {url: string, adminUrl: string, host: string, port: number,
 *   password: string, version: string, major: number, binDir: string, dataDir: string, logFile: string}}>}
 */
export async function ensureCluster(major) {
  const part = `postgres${major}`;
  const before = readRecord()[part];
  if (before && isAlive(before.process) && (await answers(before)))
    return ready(before, 'already up');
  const binDir = await ensurePrograms(major);
  const dir = stateSubdir(part);
  const dataDir = join(dir, 'data');
  const initialized = existsSync(join(dataDir, 'PG_VERSION'));
  const password = (initialized && before?.password) || randomBytes(16).toString('hex');
  if (!initialized || !before?.password) await initialize({ binDir, dir, dataDir, password });
  const port = before?.port ?? (await freePort());
  const logFile = join(dir, 'server.log');
  await start({ binDir, dataDir, dir, port, logFile });
  const pid = Number(readFileSync(join(dataDir, 'postmaster.pid'), 'utf8').split('\n')[0]);
  const url = superuserUrl('127.0.0.1', port, password);
  const version = /\d+\.\d+/.exec(
    (await firstLine(join(binDir, 'postgres'), ['--version'])) ?? '',
  )?.[0];
  const value = {
    url,
    adminUrl: url,
    host: '127.0.0.1',
    port,
    password,
    version,
    major,
    binDir,
    dataDir,
    logFile,
  };
  value.process = { pid, started: startTime(pid) };
  record(part, value);
  if (!(await answers(value)))
    throw new Error(`the server on port ${port} does not answer, see ${logFile}`);
  return ready(value, 'ready');
}

/** Stops the server of a record, as its owner. */
export async function stopCluster({ binDir, dataDir, process: recorded }) {
  if (!isAlive(recorded)) return false;
  await asOwner(
    join(binDir, 'pg_ctl'),
    ['-D', dataDir, '-m', 'fast', '-w', '-t', '60', 'stop'],
    90_000,
  );
  return true;
}

/** Whether a server answers a query; needs the psql of its record. */
export async function answers({ binDir, url }) {
  const { code, stdout } = await run(join(binDir, 'psql'), ['-XAtc', 'select 1'], {
    check: false,
    timeoutMs: 15_000,
    // A URL with a password does not belong in an argument list.
    env: { PGCONNECT_TIMEOUT: '10', ...libpqVariables(url) },
  });
  return code === 0 && stdout.trim() === '1';
}

/** A URL as libpq's variables. */
export function libpqVariables(url) {
  const { hostname, port, username, password, pathname } = new URL(url);
  return {
    ...{ PGHOST: hostname, PGPORT: port || '5432', PGUSER: decodeURIComponent(username) },
    ...{
      PGPASSWORD: decodeURIComponent(password),
      PGDATABASE: decodeURIComponent(pathname.slice(1)) || 'postgres',
    },
  };
}

function ready(value, word) {
  return { line: `${word} on ${value.host}:${value.port} (${value.version})`, value };
}

async function ensurePrograms(major) {
  const binDir = `/usr/lib/postgresql/${major}/bin`;
  if (!existsSync(join(binDir, 'initdb')))
    await aptInstall([`postgresql-${major}`, `postgresql-client-${major}`]);
  return binDir;
}

async function initialize({ binDir, dir, dataDir, password }) {
  rmSync(dataDir, { recursive: true, force: true });
  const owner = await serverOwner();
  chownSync(dir, owner.uid, owner.gid);
  const passwordFile = join(dir, 'password');
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
  chownSync(passwordFile, owner.uid, owner.gid);
  const auth = ['--auth=scram-sha-256', '--username=postgres', `--pwfile=${passwordFile}`];
  await asOwner(join(binDir, 'initdb'), ['-D', dataDir, ...auth, ...initdbArgs]);
  rmSync(passwordFile);
  const own = { ...settings, listen_addresses: '127.0.0.1', unix_socket_directories: dir };
  const lines = Object.entries(own).map(([name, value]) => `${name} = '${value}'`);
  appendFileSync(join(dataDir, 'postgresql.conf'), `\n${lines.join('\n')}\n`);
}

async function start({ binDir, dataDir, port, logFile }) {
  const args = ['-D', dataDir, '-l', logFile, '-w', '-t', '90', '-o', `-p ${port}`, 'start'];
  await asOwner(join(binDir, 'pg_ctl'), args, 120_000).catch((error) => {
    throw new Error(`${error.message}\n  log: ${logFile}`);
  });
}

async function serverOwner() {
  if (process.getuid() !== 0) return { uid: process.getuid(), gid: process.getgid() };
  const id = async (flag) => Number((await run('id', [flag, 'postgres'])).stdout);
  return { uid: await id('-u'), gid: await id('-g') };
}

/** The server refuses to run as root. */
function asOwner(command, args, timeoutMs = 60_000) {
  const options = { timeoutMs, cwd: '/' };
  if (process.getuid() !== 0) return run(command, args, options);
  return run(
    'setpriv',
    ['--reuid', 'postgres', '--regid', 'postgres', '--init-groups', command, ...args],
    options,
  );
}
