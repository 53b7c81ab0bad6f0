import { readdirSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { programFolders } from '../../config/host.ts';
import { DropbackError } from '../../runtime/errors.ts';
import { isExecutable } from '../../runtime/process/find-program.ts';
import { capture } from '../../runtime/process/pipeline.ts';

export type ClientProgram = 'pg_dump' | 'pg_restore' | 'psql';

/** One installed set of client programs. */
export interface PostgresClient {
  readonly major: number;
  /** As `pg_dump --version` says, for example `18.6`. */
  readonly version: string;
  /** Absolute path of the folder. */
  readonly folder: string;
  /** Absolute paths of what is in it. */
  readonly programs: Readonly<Partial<Record<ClientProgram, string>>>;
}

export interface ClientNeed {
  readonly serverMajor: number;
  /** Major of the pg_dump that wrote the archive, where one is to be read. */
  readonly archiveMajor?: number;
  /** Default: pg_dump and pg_restore. */
  readonly programs?: readonly ClientProgram[];
}

const PROGRAMS: readonly ClientProgram[] = ['pg_dump', 'pg_restore', 'psql'];
const VERSION_TIMEOUT_MS = 10_000;

/**
 * The smallest installed client that is at least the server's major (and the archive's): an older
 * one refuses the server, a newer one writes what the server may not know.
 * Throws `tool/no-client` (facts: installed, needed).
 */
export async function chooseClient(need: ClientNeed, signal: AbortSignal): Promise<PostgresClient> {
  const installed = await installedClients(signal);
  const needed = Math.max(need.serverMajor, need.archiveMajor ?? 0);
  const programs = need.programs ?? ['pg_dump', 'pg_restore'];
  const chosen = installed.find(
    (client) => client.major >= needed && programs.every((name) => client.programs[name]),
  );
  if (chosen) return chosen;
  const list = installed.map((client) => `${client.version} (${client.folder})`);
  const found = list.length > 0 ? `installed: ${list.join(', ')}` : 'none is installed';
  throw new DropbackError(
    'tool/no-client',
    `no PostgreSQL client of version ${needed} or newer: ${found}`,
    {
      hint: `install the package postgresql-client-${needed} (with ${programs.join(', ')}); the dropback image has the clients of all supported versions.`,
      facts: { needed, installed: list, programs },
    },
  );
}

/** The chosen client's program; chooseClient has seen to it that it is there. */
export function clientProgram(client: PostgresClient, name: ClientProgram): string {
  const path = client.programs[name];
  if (path) return path;
  throw new DropbackError('tool/missing', `${name} is not in ${client.folder}`, {
    hint: `install the whole package postgresql-client-${client.major}.`,
    facts: { program: name, folder: client.folder },
  });
}

/** Every client that is installed, smallest major first, within a major the newest first. */
export async function installedClients(signal: AbortSignal): Promise<PostgresClient[]> {
  const clients: PostgresClient[] = [];
  for (const folder of clientFolders()) {
    const client = await inspectFolder(folder, signal);
    if (client) clients.push(client);
  }
  return clients.toSorted((a, b) => a.major - b.major || compareVersions(b.version, a.version));
}

/**
 * Whether psql's restricted mode holds: `\restrict` could be escaped through a backquote in
 * `\unrestrict` until these minor releases.
 */
export function psqlIsSafe(version: string): boolean {
  const firstSafe: Readonly<Record<number, number>> = { 14: 24, 15: 19, 16: 15, 17: 11, 18: 6 };
  const [major, minor] = parseVersion(version);
  if (major > 18) return true;
  const least = firstSafe[major];
  return least !== undefined && minor >= least;
}

/** `[major, minor]` of `18.6`, `15.18 (Debian …)`, `19beta1`. */
export function parseVersion(version: string): [number, number] {
  const match = /(\d+)(?:\.(\d+))?/.exec(version);
  return [Number(match?.[1] ?? 0), Number(match?.[2] ?? 0)];
}

export function compareVersions(a: string, b: string): number {
  const [majorA, minorA] = parseVersion(a);
  const [majorB, minorB] = parseVersion(b);
  return majorA - majorB || minorA - minorB;
}

/** Where distributions put clients: Debian, Alpine, RPMs, source builds; then PATH. */
function clientFolders(): string[] {
  const candidates = [
    ...children('/usr/lib/postgresql').map((folder) => join(folder, 'bin')),
    ...children('/usr/libexec').filter((folder) => basename(folder).startsWith('postgresql')),
    ...children('/usr')
      .filter((folder) => basename(folder).startsWith('pgsql-'))
      .map((folder) => join(folder, 'bin')),
    ...children('/usr/local')
      .filter((folder) => basename(folder).startsWith('pgsql'))
      .map((folder) => join(folder, 'bin')),
    ...programFolders(),
  ];
  const folders = new Set<string>();
  for (const candidate of candidates) {
    const path = join(candidate, 'pg_dump');
    if (!isExecutable(path)) continue;
    const real = realpathSync(path);
    // Debian's wrapper chooses a version by itself; the real ones are in the folders above.
    if (basename(real) !== 'pg_wrapper') folders.add(dirname(real));
  }
  return [...folders];
}

function children(folder: string): string[] {
  try {
    return readdirSync(folder).map((name) => join(folder, name));
  } catch {
    return [];
  }
}

/** By path, size and time of change: a package update is noticed by a daemon that runs for months. */
const versions = new Map<string, string>();

async function inspectFolder(
  folder: string,
  signal: AbortSignal,
): Promise<PostgresClient | undefined> {
  const programs: Partial<Record<ClientProgram, string>> = {};
  for (const name of PROGRAMS) {
    const path = join(folder, name);
    if (isExecutable(path)) programs[name] = path;
  }
  const version = programs.pg_dump && (await versionOf(programs.pg_dump, signal));
  if (!version) return undefined;
  return { major: parseVersion(version)[0], version, folder, programs };
}

async function versionOf(file: string, signal: AbortSignal): Promise<string | undefined> {
  const { size, mtimeMs } = statSync(file);
  const key = `${file}:${size}:${mtimeMs}`;
  const known = versions.get(key);
  if (known) return known;
  try {
    const program = { name: basename(file), file, args: ['--version'] };
    const text = await capture(program, { signal, timeoutMs: VERSION_TIMEOUT_MS });
    const version = /\(PostgreSQL\) (\S+)/.exec(text)?.[1];
    if (version) versions.set(key, version);
    return version;
  } catch (error) {
    // A broken installation beside a good one is no reason to fail.
    if (signal.aborted) throw error;
    return undefined;
  }
}
