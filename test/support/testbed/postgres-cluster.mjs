/**
 * A PostgreSQL server of the test bed's own on this machine: own data folder, own port, own
 * password.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { aptInstall } from './debian.mjs';
import {
  configure,
  dataIn,
  initialize,
  runAsOwner,
  startServer,
  stopCommand,
} from './postgres-owner.mjs';
import { settings, superuserUrl } from './postgres-settings.mjs';
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
  const folder = stateSubdir(part);
  const dataDir = dataIn(folder);
  const initialized = existsSync(join(dataDir, 'PG_VERSION'));
  const password = (initialized && before?.password) || randomBytes(16).toString('hex');
  if (!initialized || !before?.password) {
    rmSync(dataDir, { recursive: true, force: true });
    await initialize({ binDir, folder, password });
    configure(folder, settings);
  }
  const port = before?.port ?? (await freePort());
  const logFile = join(folder, 'server.log');
  await startServer({ binDir, folder, logFile, options: `-p ${port}` });
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
  await runAsOwner(...stopCommand({ binDir, folder: dirname(dataDir) }, 'fast'), 90_000);
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
