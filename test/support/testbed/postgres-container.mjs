/** A PostgreSQL 18 server in a container on the real engine, published on a loopback port. */
import { randomBytes } from 'node:crypto';
import { docker, publishedHost } from './docker-engine.mjs';
import { postgresImage } from './images.mjs';
import { answers } from './postgres-cluster.mjs';
import { initdbArgs, settingArgs, superuserUrl } from './postgres-settings.mjs';
import { freePort, until } from './processes.mjs';
import { readRecord, record } from './state.mjs';

const NAME = `dropback-testbed-postgres18-${process.getuid?.() ?? 0}`;

/**
 * @param {{binDir: string, image?: string}} options  binDir: of client programs that can talk to it
 * @returns {Promise<{line: string, value: {url: string, adminUrl: string, host: string, port: number,
 *   password: string, version: string, major: number, binDir: string, container: string, containerId: string,
 *   volume: string}}>}
 */
export async function ensureContainer18({ binDir, image = postgresImage }) {
  const before = readRecord().postgres18;
  if (before?.containerId && (await revive(before)))
    return ready({ ...before, binDir }, 'already up');
  // A container of that name without a record has a password that nobody knows.
  await docker(['rm', '-f', '-v', NAME], { check: false });
  await docker(['volume', 'rm', '-f', NAME], { check: false });
  const host = publishedHost();
  const password = randomBytes(16).toString('hex');
  const port = await freePort();
  const publish = `${host === '127.0.0.1' ? '127.0.0.1:' : ''}${port}:5432`;
  const options = [
    '--name',
    NAME,
    '-p',
    publish,
    '-v',
    `${NAME}:/var/lib/postgresql`,
    '--shm-size',
    '256m',
  ];
  const env = { POSTGRES_PASSWORD: password, POSTGRES_INITDB_ARGS: initdbArgs.join(' ') };
  // Names only: docker takes the values from its own environment.
  const flags = Object.keys(env).flatMap((name) => ['-e', name]);
  const args = [
    'run',
    '-d',
    '--label',
    'dropback.testbed=1',
    ...options,
    ...flags,
    image,
    'postgres',
    ...settingArgs,
  ];
  const containerId = (await docker(args, { env })).stdout.trim();
  const url = superuserUrl(host, port, password);
  const value = {
    url,
    adminUrl: url,
    host,
    port,
    password,
    major: 18,
    binDir,
    container: NAME,
    containerId,
    volume: NAME,
  };
  record('postgres18', value);
  if (!(await until(() => answers(value), 60_000, 300)))
    throw new Error(`no answer on port ${port}, see docker logs ${NAME}`);
  const printed = (await docker(['exec', containerId, 'postgres', '--version'])).stdout;
  value.version = /\d+\.\d+/.exec(printed)?.[0];
  record('postgres18', value);
  return ready(value, 'ready');
}

/** Uses the recorded container again, started if it stands still. */
async function revive(before) {
  const { code, stdout } = await docker(
    ['inspect', '--format', '{{.State.Running}}', before.containerId],
    { check: false },
  );
  if (code !== 0 || !before.version) return false;
  if (stdout.trim() !== 'true') {
    const started = await docker(['start', before.containerId], { check: false });
    if (started.code !== 0) return false;
  }
  return until(() => answers(before), 30_000, 300);
}

function ready(value, word) {
  return {
    line: `${word} on ${value.host}:${value.port} (${value.version}, container ${value.container})`,
    value,
  };
}
