/** `docker compose` and `docker buildx`, as plugins of the Docker command line. */
import { chmodSync, copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { unpackNewer } from './debian.mjs';
import { docker } from './docker-engine.mjs';
import { stateSubdir } from './state.mjs';

const PLUGINS = '/usr/local/lib/docker/cli-plugins';

/** @returns {Promise<{line: string, value: {compose: string, buildx: string}}>} versions */
export async function ensureCompose() {
  let value = await versions();
  if (!value.compose || !value.buildx) {
    const unpacked = join(stateSubdir('compose'), 'unpacked');
    await unpackNewer(['docker-compose', 'docker-buildx'], unpacked);
    mkdirSync(PLUGINS, { recursive: true });
    for (const name of ['docker-compose', 'docker-buildx']) {
      const target = join(PLUGINS, name);
      copyFileSync(join(unpacked, 'usr/libexec/docker/cli-plugins', name), target);
      chmodSync(target, 0o755);
    }
    rmSync(unpacked, { recursive: true });
    value = await versions();
  }
  if (!value.compose || !value.buildx) throw new Error(`the plugins in ${PLUGINS} do not run`);
  return { line: `compose ${value.compose}, buildx ${value.buildx}`, value };
}

async function versions() {
  return {
    compose: await version(['compose', 'version']),
    buildx: await version(['buildx', 'version']),
  };
}

/** The dotted version that a plugin prints; an unknown plugin prints none and fails. */
async function version(args) {
  const { code, stdout } = await docker(args, { check: false, timeoutMs: 10_000 });
  return code === 0 ? /\d+\.\d+\.\d+/.exec(stdout)?.[0] : undefined;
}
