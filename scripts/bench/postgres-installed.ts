import { execFileSync, type SpawnSyncOptions, spawnSync } from 'node:child_process';
import { accessSync, chmodSync, chownSync, constants, readdirSync, rmSync } from 'node:fs';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { type Access, BenchServer, newAccess, SERVER_SETTINGS } from './postgres-server.ts';

const DEBIAN = '/usr/lib/postgresql';
const PROGRAMS = ['initdb', 'pg_ctl', 'postgres', 'pg_dump', 'psql'];
const STOP_S = 60;

/** A server of what is installed on this machine, where there is no Docker engine. */
export class InstalledServer extends BenchServer {
  readonly #binDir: string;
  readonly #folder: string;

  private constructor(access: Access, folder: string) {
    super(access);
    this.#binDir = access.binDir;
    this.#folder = folder;
  }

  /** Already up; `binDir` as `installedPrograms` finds it, its data in a folder of its own in `parent`. */
  static async start(binDir: string, parent: string): Promise<BenchServer> {
    const access = await newAccess(binDir);
    const folder = await mkdtemp(join(parent, 'postgres-'));
    // Its own user has to get there.
    if (serverOwner()) chmodSync(parent, 0o711);
    const server = new InstalledServer(access, folder);
    try {
      await server.#initialize(access);
      return await server.ready();
    } catch (error) {
      server.abandon();
      throw error;
    }
  }

  get place(): string {
    return this.#binDir;
  }

  async limitTo(processors: string): Promise<void> {
    // Its own processes have theirs from before; each connection is a new one, made by the first.
    const pids = await this.#processes();
    for (const pid of pids) execFileSync('taskset', ['-pc', processors, pid]);
  }

  abandon(): void {
    this.#asOwner('pg_ctl', ['-D', this.#data, '-m', 'immediate', '-w', '-t', `${STOP_S}`, 'stop']);
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.abandon();
  }

  protected async log(): Promise<string> {
    return await readFile(join(this.#folder, 'log'), 'utf8').catch(() => '');
  }

  get #data(): string {
    return join(this.#folder, 'data');
  }

  async #initialize({ port, password }: Access): Promise<void> {
    const passwordFile = join(this.#folder, 'password');
    await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
    const owner = serverOwner();
    for (const path of owner ? [this.#folder, passwordFile] : []) {
      chownSync(path, owner?.uid ?? 0, owner?.gid ?? 0);
    }
    const who = ['--auth=scram-sha-256', '--username=postgres', `--pwfile=${passwordFile}`];
    const how = ['--encoding=UTF8', '--locale=C.UTF-8', '--no-sync'];
    this.#require('initdb', ['-D', this.#data, ...who, ...how]);
    rmSync(passwordFile);
    const settings = [
      ...SERVER_SETTINGS,
      ...[`port=${port}`, 'listen_addresses=127.0.0.1', `unix_socket_directories=${this.#folder}`],
    ];
    const options = settings.map((setting) => `-c ${setting}`).join(' ');
    this.#require('pg_ctl', [
      '-D',
      this.#data,
      '-l',
      join(this.#folder, 'log'),
      '-o',
      options,
      'start',
    ]);
  }

  async #processes(): Promise<string[]> {
    const [first = ''] = (await readFile(join(this.#data, 'postmaster.pid'), 'utf8')).split('\n');
    const { stdout } = spawnSync('pgrep', ['-P', first], { encoding: 'utf8' });
    return [first, ...(stdout ?? '').split('\n').filter(Boolean)];
  }

  #require(program: string, args: readonly string[]): void {
    const { status, stderr, error } = this.#asOwner(program, args);
    if (status !== 0) throw new Error(`${program} failed: ${error?.message ?? String(stderr)}`);
  }

  /** The server refuses to run as root. What pg_ctl starts keeps what it was given open: no pipes for it. */
  #asOwner(program: string, args: readonly string[]) {
    const path = join(this.#binDir, program);
    const options: SpawnSyncOptions = {
      cwd: '/',
      stdio: ['ignore', 'ignore', program === 'pg_ctl' ? 'ignore' : 'pipe'],
    };
    if (!serverOwner()) return spawnSync(path, args, options);
    const as = ['--reuid=postgres', '--regid=postgres', '--init-groups'];
    return spawnSync('setpriv', [...as, path, ...args], options);
  }
}

/** Folder of the newest PostgreSQL that has a server and client programs; undefined where none has. */
export function installedPrograms(): string | undefined {
  const debian = children(DEBIAN)
    .toSorted((one, other) => Number(other) - Number(one))
    .map((major) => join(DEBIAN, major, 'bin'));
  const paths = (process.env['PATH'] ?? '').split(delimiter).filter(Boolean);
  return [...debian, ...paths].find((folder) =>
    PROGRAMS.every((name) => isExecutable(join(folder, name))),
  );
}

/** Debian's own user for it; undefined for whoever isn't root. */
function serverOwner(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const id = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

function children(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
