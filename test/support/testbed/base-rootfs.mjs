/**
 * One root file system of Debian forky with everything that containers of the tests need,
 * kept as a compressed tarball in the state folder. Its name carries a hash of the recipe,
 * so a changed recipe builds a new one and an unchanged one is never built twice.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { aptInstall, mirror, requireInstall } from './debian.mjs';
import { run } from './processes.mjs';
import { stateSubdir } from './state.mjs';

export const SUITE = 'forky';
const CA_BUNDLE = '/etc/ssl/certs/ca-certificates.crt';

// nodejs is 24 and PostgreSQL 18 in forky.
const PACKAGES = [
  ...['ca-certificates', 'tini', 'procps', 'libcap2-bin', 'gettext-base', 'xz-utils', 'locales'],
  ...['nodejs', 'npm', 'postgresql-18', 'postgresql-client-18', 'nginx', 'zstd', 'age', 'sqlite3'],
];

const OPTIONS = [
  '--variant=minbase',
  '--aptopt=Acquire::Check-Valid-Until "false"',
  '--aptopt=APT::Install-Recommends "false"',
  ...['man', 'doc', 'locale'].map((folder) => `--dpkgopt=path-exclude=/usr/share/${folder}/*`),
  `--include=${PACKAGES.join(',')}`,
  // The locale that the official PostgreSQL image uses.
  '--customize-hook=chroot "$1" localedef -i en_US -f UTF-8 en_US.UTF-8',
  // Debian's package creates a cluster; the image's entrypoint makes its own.
  '--customize-hook=rm -rf "$1"/var/lib/postgresql/* "$1"/etc/postgresql/*',
];

/** Names the recipe; part of the tarball's name and a label of the images made from it. */
export const recipe = createHash('sha256')
  .update(JSON.stringify([SUITE, OPTIONS]))
  .digest('hex')
  .slice(0, 12);

/** @returns {Promise<string>} path of the tarball, built if it isn't there */
export async function ensureRootfs() {
  const dir = stateSubdir('rootfs');
  const tarball = join(dir, `base-${recipe}.tar.zst`);
  if (existsSync(tarball)) return tarball;
  requireInstall('the base root file system');
  await aptInstall(['mmdebstrap', 'zstd']);
  for (const old of readdirSync(dir)) rmSync(join(dir, old), { force: true });
  const partial = join(dir, 'partial.tar.zst');
  // Containers reach networks as this machine does, so they trust what it trusts.
  const trust = existsSync(CA_BUNDLE)
    ? [`--customize-hook=copy-in ${CA_BUNDLE} /etc/ssl/certs`]
    : [];
  await run('mmdebstrap', [...OPTIONS, ...trust, SUITE, partial, await mirror()], {
    timeoutMs: 900_000,
  });
  renameSync(partial, tarball);
  return tarball;
}
