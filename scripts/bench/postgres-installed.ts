import { execFileSync, spawnSync } from 'node:child_process';
import { accessSync, chmodSync, constants, readdirSync, rmSync } from 'node:fs';
import { mkdtemp, readFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import {
  asOwner,
  dataIn,
  hasOwnUser,
  initialize,
  startServer,
  stopCommand,
} from '../../test/support/testbed/postgres-owner.mjs';
import { type Access, BenchServer, newAccess, SERVER_SETTINGS } from './postgres-server.ts';

const DEBIAN = '/usr/lib/postgresql';
const PROGRAMS = ['initdb', 'pg_ctl', 'postgres', 'pg_dump', 'psql'];

/** A server of what is installed on this machine, where there is no Docker engine. */
export class InstalledServer extends BenchServer {
  readonly #binDir: string;
  readonly #folder: string;

  private constructor(access: Access, folder: string) {
    super(access);
    this.#binDir = access.binDir;
    this.#folder = folder;
  }

  /** `binDir` as `installedPrograms` finds it, its data in a folder of its own in `parent`. */
  static async create(binDir: string, parent: string): Promise<BenchServer> {
    const access = await newAccess(binDir);
    const folder = await mkdtemp(join(parent, 'postgres-'));
    // Its own user has to get there.
    if (hasOwnUser) chmodSync(parent, 0o711);
    return new InstalledServer(access, folder);
  }

  async start(): Promise<void> {
    const [binDir, folder] = [this.#binDir, this.#folder];
    await initialize({ binDir, folder, password: this.password, args: ['--no-sync'] });
    const settings = [...SERVER_SETTINGS, `port=${this.port}`];
    const options = settings.map((setting) => `-c ${setting}`).join(' ');
    await startServer({ binDir, folder, logFile: this.#logFile, options });
    await this.ready();
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
    const server = { binDir: this.#binDir, folder: this.#folder };
    spawnSync(...asOwner(...stopCommand(server, 'immediate')), { cwd: '/', stdio: 'ignore' });
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.abandon();
  }

  protected async log(): Promise<string> {
    return await readFile(this.#logFile, 'utf8').catch(() => '');
  }

  get #logFile(): string {
    return join(this.#folder, 'log');
  }

  async #processes(): Promise<string[]> {
    const pidFile = join(dataIn(this.#folder), 'postmaster.pid');
    const [first = ''] = (await readFile(pidFile, 'utf8')).split('\n');
    const { stdout } = spawnSync('pgrep', ['-P', first], { encoding: 'utf8' });
    return [first, ...(stdout ?? '').split('\n').filter(Boolean)];
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
