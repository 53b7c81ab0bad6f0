import { type ExecFileOptions, execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { testbed } from '../../support/testbed.ts';

export const repository = fileURLToPath(new URL('../../../', import.meta.url));

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end; a failure is told by `code`, unless `check` is left on. */
export function run(
  file: string,
  args: readonly string[],
  options: ExecFileOptions & { readonly check?: boolean } = {},
): Promise<Ran> {
  const { check = true, ...rest } = options;
  return new Promise((resolve, reject) => {
    const settings = { maxBuffer: 64 * 1024 * 1024, timeout: 600_000, encoding: 'utf8', ...rest };
    execFile(file, args, settings, (error, out, err) => {
      const [stdout, stderr] = [String(out), String(err)];
      const code = error ? (typeof error.code === 'number' ? error.code : 1) : 0;
      if (code === 0 || !check) return resolve({ code, stdout, stderr });
      reject(new Error(`${file} ${args.join(' ')} failed (${code}):\n${stdout}\n${stderr}`));
    });
  });
}

export const docker = (args: readonly string[], options = {}) => run('docker', args, options);

/** An engine with Compose, and either the test bed's base image or a registry to pull from. */
export async function findEngine(): Promise<boolean> {
  if (!testbed.docker) return false;
  const { code } = await docker(['compose', 'version'], { check: false });
  return code === 0;
}

/** What the compose files and Dockerfiles take instead of public images, where there is no registry. */
export async function imageSettings(): Promise<Record<string, string>> {
  const base = 'dropback-test/base:forky';
  const { code } = await docker(['image', 'inspect', base], { check: false });
  if (code !== 0) return {};
  return {
    NODE_IMAGE: base,
    BASE_IMAGE: base,
    NGINX_IMAGE: base,
    PG_MAJORS: '18',
    POSTGRES_IMAGE: 'dropback-test/postgres:18',
  };
}

/** A tag for each checkout: two on one engine must not test each other's image. */
const checkout = createHash('sha256').update(repository).digest('hex').slice(0, 8);
export const testImage = `dropback-e2e:${checkout}`;

/** Builds the image as the README says, save for the base images. Unchanged layers are reused. */
export async function buildImage(): Promise<void> {
  const settings = await imageSettings();
  const args = ['NODE_IMAGE', 'BASE_IMAGE', 'PG_MAJORS'].flatMap((name) =>
    settings[name] ? ['--build-arg', `${name}=${settings[name]}`] : [],
  );
  await docker(['build', '-q', '-t', testImage, '-f', 'docker/Dockerfile', ...args, '.'], {
    cwd: repository,
  });
}

export const chromium = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
  .filter((path) => existsSync(path))
  .at(0);
