/** A real Docker Engine: the one that answers, or Debian's docker.io started here. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { aptInstall, cannotInstall } from './debian.mjs';
import { isAlive, run, startDetached, until } from './processes.mjs';
import { readRecord, record, stateSubdir } from './state.mjs';

const SOCKET = '/var/run/docker.sock';

/** `docker …` against the engine in use. */
export function docker(args, options) {
  return run('docker', args, options);
}

/** Where the engine's published ports are reached. */
export function publishedHost() {
  const host = process.env.DOCKER_HOST ?? '';
  return host.startsWith('tcp://')
    ? new URL(host.replace('tcp://', 'http://')).hostname
    : '127.0.0.1';
}

/** @returns {Promise<{line: string, value: {host: string, version: string, storageDriver: string}}>} */
export async function ensureDocker() {
  if (!(await ask())) await startEngine();
  const info = await ask();
  if (!info) throw new Error('no Docker Engine answers');
  const host = process.env.DOCKER_HOST || `unix://${SOCKET}`;
  record('docker', { ...readRecord().docker, host, ...info });
  return { line: `engine ${info.version}, ${info.storageDriver}`, value: { host, ...info } };
}

async function ask() {
  try {
    const { stdout } = await docker(
      ['info', '--format', '{{.ServerVersion}} {{.Driver}} {{.Plugins.Network}}'],
      { timeoutMs: 10_000 },
    );
    const [version, storageDriver, ...networks] = stdout.trim().split(' ');
    if (!version) return undefined;
    if (!networks.join(' ').includes('bridge'))
      throw new Error('this Docker Engine has no bridge network');
    return { version, storageDriver };
  } catch (error) {
    if (error.message.includes('bridge')) throw error;
    return undefined;
  }
}

async function startEngine() {
  if (process.env.DOCKER_HOST) throw new Error('the Docker Engine in DOCKER_HOST does not answer');
  const why = cannotInstall();
  if (why) throw new Error(`no Docker Engine answers, and none is started here (${why})`);
  if (!existsSync('/usr/sbin/dockerd') || !(await hasClient())) {
    await aptInstall(['docker.io', 'iptables']);
    // From trixie on the client is a package of its own.
    if (!(await hasClient())) await aptInstall(['docker-cli']);
  }
  const logFile = join(stateSubdir('docker'), 'dockerd.log');
  const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;
  const started = startDetached('/usr/sbin/dockerd', ['-H', `unix://${SOCKET}`], {
    logFile,
    env: { PATH },
  });
  record('docker', { host: `unix://${SOCKET}`, engine: started, logFile });
  const up = await until(async () => !isAlive(started) || (await ask()) !== undefined, 90_000, 300);
  if (!up || !isAlive(started)) throw new Error(`dockerd did not come up, see ${logFile}`);
}

async function hasClient() {
  return (await run('sh', ['-c', 'command -v docker'], { check: false })).code === 0;
}
