/** Debian's packages: the release that the machine runs, and single programs from a newer one. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './processes.mjs';
import { stateSubdir } from './state.mjs';

const POLICY = '/usr/sbin/policy-rc.d';
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
let listsAreFresh = false;

/** Why nothing may be installed here, or undefined when it may. */
export function cannotInstall() {
  if (process.env.DROPBACK_TEST_INSTALL === '0') return 'DROPBACK_TEST_INSTALL=0';
  if (process.platform !== 'linux' || !existsSync('/etc/debian_version'))
    return 'not a Debian machine';
  if (process.getuid() !== 0) return 'not root';
  return undefined;
}

/** Throws a message for the `missing` list unless installing is possible. */
export function requireInstall(what) {
  const why = cannotInstall();
  if (why) throw new Error(`${what} not found, and it is not installed here (${why})`);
}

/** Installs packages of the running release. Does not start their services. */
export async function aptInstall(packages) {
  requireInstall(packages.join(', '));
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  if (!listsAreFresh) {
    // Without network the lists on disk may still do.
    await run('apt-get', ['update', '-q'], { timeoutMs: 180_000, env, check: false });
    listsAreFresh = true;
  }
  const ours = !existsSync(POLICY);
  if (ours) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    await run(
      'apt-get',
      [
        'install',
        '-y',
        '-q',
        '--no-install-recommends',
        '-o',
        'DPkg::Lock::Timeout=120',
        ...packages,
      ],
      {
        timeoutMs: 600_000,
        env,
      },
    );
  } finally {
    if (ours) rmSync(POLICY, { force: true });
  }
}

/** The mirror that this machine is configured to use, read from apt's own view of its sources. */
export async function mirror() {
  const { stdout } = await run('apt-get', [
    'indextargets',
    '--format',
    '$(RELEASE) $(REPO_URI)',
    'Created-By: Packages',
    'Origin: Debian',
  ]);
  const codename = /^VERSION_CODENAME=(.*)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
  const line = stdout.split('\n').find((entry) => entry.startsWith(`${codename} `));
  if (!line) throw new Error('apt knows no mirror of this Debian release (apt-get update?)');
  return line.split(' ')[1];
}

/**
 * Downloads packages of Debian unstable and unpacks them into `folder` without installing anything:
 * a second list folder, so that the machine's own package state stays as it is.
 * Only for programs that run on the older C library (Go programs do).
 */
export async function unpackNewer(packages, folder) {
  requireInstall(packages.join(', '));
  const base = stateSubdir('apt-newer');
  for (const sub of ['lists/partial', 'cache/archives/partial', 'deb'])
    mkdirSync(join(base, sub), { recursive: true });
  const sources = join(base, 'sources.list');
  writeFileSync(sources, `deb [signed-by=${KEYRING}] ${await mirror()} sid main\n`);
  const options = Object.entries({
    'Dir::Etc::sourcelist': sources,
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::State::lists': join(base, 'lists'),
    'Dir::State::status': '/dev/null',
    'Dir::Cache': join(base, 'cache'),
    'Acquire::Check-Valid-Until': 'false',
    'Acquire::Languages': 'none',
    'APT::Sandbox::User': 'root',
  }).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  await run('apt-get', [...options, 'update', '-q'], { timeoutMs: 180_000 });
  const debs = join(base, 'deb');
  await run('apt-get', [...options, 'download', '-q', ...packages], {
    timeoutMs: 300_000,
    cwd: debs,
  });
  mkdirSync(folder, { recursive: true });
  for (const deb of readdirSync(debs)) {
    await run('dpkg', ['-x', join(debs, deb), folder]);
    rmSync(join(debs, deb));
  }
}
