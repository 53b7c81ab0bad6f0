/**
 * PostgreSQL 18's client programs on a Debian that only has older ones, where the Debian
 * convention puts them: /usr/lib/postgresql/18/bin. They come out of the base root file system
 * together with the C library they were built for, and are patched to start with that one, so
 * that they are ordinary programs: own name, own arguments, own exit code, own signals.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { ensureRootfs, recipe } from './base-rootfs.mjs';
import { aptInstall, requireInstall } from './debian.mjs';
import { firstLine, run } from './processes.mjs';
import { stateSubdir } from './state.mjs';

const PREFIX = '/usr/lib/postgresql/18';
const MARKER = 'FROM-DROPBACK-TESTBED';
const PROGRAMS = ['pg_dump', 'pg_dumpall', 'pg_restore', 'psql', 'pg_isready', 'pgbench'];

/** @returns {Promise<{line: string, value: {binDir: string, version: string}}>} */
export async function ensureClients18() {
  const binDir = join(PREFIX, 'bin');
  const ours = existsSync(join(PREFIX, MARKER));
  const stale = ours && readFileSync(join(PREFIX, MARKER), 'utf8').trim() !== recipe;
  if (stale || !existsSync(join(binDir, 'pg_dump'))) await install();
  const version = /\d+\.\d+/.exec(
    (await firstLine(join(binDir, 'psql'), ['--version'])) ?? '',
  )?.[0];
  if (!version) throw new Error(`${binDir}/psql does not run`);
  return { line: `psql, pg_dump ${version} in ${binDir}`, value: { binDir, version } };
}

async function install() {
  requireInstall('postgresql-client-18');
  const tarball = await ensureRootfs();
  await aptInstall(['patchelf']);
  const work = join(stateSubdir('clients18'), 'work');
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work);
  const multiarch = (
    await run('dpkg-architecture', ['-qDEB_HOST_MULTIARCH'], { check: false })
  ).stdout.trim();
  const libs = `usr/lib/${multiarch || `${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`}`;
  const wanted = [`./usr/lib/postgresql/18/bin/*`, `./${libs}/*.so*`];
  await run('tar', [
    '-x',
    '-f',
    tarball,
    '--zstd',
    '-C',
    work,
    '--wildcards',
    '--no-wildcards-match-slash',
    ...wanted,
  ]);
  await assemble({ from: work, libs: join(work, libs) });
  rmSync(work, { recursive: true });
}

/** Builds the final folder beside its place and moves it there last. */
async function assemble({ from, libs }) {
  const loader = readdirSync(libs).find((name) => name.startsWith('ld-linux-'));
  const target = `${PREFIX}.partial`;
  const lib = join(target, 'testbed-lib');
  rmSync(target, { recursive: true, force: true });
  mkdirSync(join(target, 'bin'), { recursive: true });
  mkdirSync(lib);
  await run('cp', ['-L', join(libs, loader), lib]);
  for (const name of PROGRAMS) {
    const program = join(target, 'bin', name);
    await run('cp', ['-L', join(from, 'usr/lib/postgresql/18/bin', name), program]);
    const { stdout } = await run(join(libs, loader), ['--library-path', libs, '--list', program]);
    const needed = [...stdout.matchAll(/=> (\/\S+)/g)]
      .map((match) => match[1])
      .filter((path) => path.startsWith(libs));
    await run('cp', ['-L', ...needed, lib]);
    const final = join(PREFIX, 'testbed-lib');
    // RPATH, not RUNPATH: it has to hold for the libraries of the libraries too.
    await run('patchelf', [
      '--set-interpreter',
      join(final, loader),
      '--force-rpath',
      '--set-rpath',
      final,
      program,
    ]);
  }
  writeFileSync(join(target, MARKER), `${recipe}\n`);
  rmSync(PREFIX, { recursive: true, force: true });
  renameSync(target, PREFIX);
}
