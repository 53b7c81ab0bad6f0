#!/usr/bin/env node
/**
 * Brings the test bed up: installs what is missing (on Debian as root), starts what is not
 * running, uses again what is. One line a part. `node up.mjs --require-all` fails when
 * something cannot be had. Everything it starts outlives it; down.mjs stops it.
 */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureCompose } from './compose.mjs';
import { ensureDocker } from './docker-engine.mjs';
import { ensureImages, imageNames } from './images.mjs';
import { ensureClients18 } from './postgres-clients.mjs';
import { ensureCluster } from './postgres-cluster.mjs';
import { ensureContainer18 } from './postgres-container.mjs';
import { givenServer } from './postgres-given.mjs';
import { ensureS3 } from './s3.mjs';
import { stateDir, withLock } from './state.mjs';
import { ensureTools } from './tools.mjs';

/**
 * Every part in the order in which they come up: what others build on is first.
 * `needs`: parts without which it cannot be had; their values are handed to `ensure`.
 */
const parts = {
  tools: {
    title: 'programs',
    needs: [],
    ensure: ensureTools,
    how: 'install age, chromium, openssl, pgbouncer, sqlite3 and zstd',
  },
  docker: {
    title: 'docker',
    needs: [],
    ensure: ensureDocker,
    how: 'start a Docker Engine, or set DOCKER_HOST',
  },
  compose: {
    title: 'docker compose',
    needs: ['docker'],
    ensure: ensureCompose,
    how: 'install the Compose 2.40 and buildx plugins of the Docker command line',
  },
  images: {
    title: 'images',
    needs: ['docker'],
    ensure: ensureImages,
    how: `load images named ${imageNames.join(', ')}, made on Debian as root`,
  },
  clients18: {
    title: 'postgres 18 clients',
    needs: [],
    ensure: ensureClients18,
    how: 'install postgresql-client-18 under /usr/lib/postgresql/18',
  },
  postgres15: {
    title: 'postgres 15',
    needs: [],
    ensure: () => (process.env.TEST_POSTGRES_URL ? givenServer('postgres15') : ensureCluster(15)),
    how: "install Debian's postgresql-15, or set TEST_POSTGRES_URL to the superuser's URL of a server up to 17",
  },
  postgres18: {
    title: 'postgres 18',
    needs: process.env.TEST_POSTGRES_URL ? [] : ['images', 'clients18'],
    ensure: ({ clients18 }) =>
      process.env.TEST_POSTGRES_URL
        ? givenServer('postgres18')
        : ensureContainer18({ binDir: clients18.binDir }),
    how: "make Docker and the images available, or set TEST_POSTGRES_URL to the superuser's URL of a server from 18",
  },
  s3: {
    title: 's3',
    needs: process.env.TEST_S3_ENDPOINT ? [] : ['images'],
    ensure: ensureS3,
    how:
      'make Docker and the images available, or set TEST_S3_ENDPOINT, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and ' +
      'TEST_S3_BUCKET (for instance to what `rclone serve s3` of rclone 1.65 or newer answers to)',
  },
};

/** Names of all parts. */
export const partNames = Object.keys(parts);

/**
 * Provisions and starts what is wanted, in one process at a time.
 * @param {object} [options]
 * @param {string[]} [options.want]  parts (default: all); what they need comes along
 * @param {boolean} [options.allowMissing]  true (default): what can't be had is listed in `missing`;
 *   false: it throws
 * @param {(line: string) => void} [options.log]  takes one line a part
 * @returns {Promise<{tools?: object, docker?: {host: string, baseImage?: string}, compose?: object, images?: object,
 *   clients18?: object, postgres15?: object, postgres18?: object, s3?: object,
 *   missing: {part: string, why: string, how: string}[], stateDir: string}>}
 */
export async function ensureTestbed({
  want = partNames,
  allowMissing = true,
  log = () => {},
} = {}) {
  const unknown = want.filter((name) => !parts[name]);
  if (unknown.length > 0)
    throw new Error(`unknown parts: ${unknown.join(', ')}; there are ${partNames.join(', ')}`);
  const found = {};
  const missing = [];
  await withLock(async () => {
    for (const name of withNeeds(want)) {
      const result = await bringUp(name, found);
      if (result.value) found[name] = result.value;
      else missing.push(result.missing);
      log(result.line);
    }
  });
  if (found.docker && found.images)
    found.docker = { ...found.docker, baseImage: found.images.base };
  if (missing.length > 0 && !allowMissing) {
    throw new Error(
      missing.map(({ part, why, how }) => `${part}: ${why}\n  HINT: ${how}`).join('\n'),
    );
  }
  return { ...found, missing, stateDir };
}

async function bringUp(name, found) {
  const { title, needs, ensure, how } = parts[name];
  const start = Date.now();
  const lacking = needs.filter((need) => !found[need]);
  try {
    if (lacking.length > 0) throw new Error(`needs ${lacking.join(', ')}`);
    const { line, value } = await ensure(found);
    return { value, line: `${title}: ${line} [${((Date.now() - start) / 1000).toFixed(1)} s]` };
  } catch (error) {
    return {
      missing: { part: name, why: error.message, how },
      line: `${title}: MISSING: ${error.message}\n  HINT: ${how}`,
    };
  }
}

/** The wanted parts and what they need, in the order of the table. */
function withNeeds(want) {
  const all = new Set();
  const add = (name) => {
    all.add(name);
    parts[name].needs.forEach(add);
  };
  want.forEach(add);
  return partNames.filter((name) => all.has(name));
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const requireAll = process.argv.includes('--require-all');
  const { missing } = await ensureTestbed({ log: (line) => console.log(line) });
  console.log(`record: ${stateDir}/testbed.json`);
  process.exitCode = requireAll && missing.length > 0 ? 1 : 0;
}
