import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestS3 } from '../../test/support/testbed.ts';
import type { BenchOptions } from './options.ts';
import type { Parts } from './parts.ts';
import { ContainerServer } from './postgres-container.ts';
import { type DatabaseFacts, fillPostgres, postgresFacts } from './postgres-data.ts';
import { InstalledServer } from './postgres-installed.ts';
import type { BenchServer } from './postgres-server.ts';
import { type Contestant, type Series, takeTurns } from './series.ts';

/** The database that is backed up; restores work on it too. */
export const DATABASE = 'shop';

export interface LabParts extends Parts {
  readonly options: BenchOptions;
  /** Folder of the built program's entry points. */
  readonly program: string;
  readonly say: (line: string) => void;
}

/** What all measurements of a run share: folder, server, data. Each is made when first asked for. */
export class Lab implements AsyncDisposable {
  readonly options: BenchOptions;
  readonly program: string;
  readonly say: (line: string) => void;
  readonly folder: string;
  /** What could not be measured, and why. */
  readonly leftOut: string[] = [];
  readonly #parts: LabParts;
  readonly #containers: string[] = [];
  readonly #stack = new AsyncDisposableStack();
  #server: Promise<BenchServer> | undefined;
  #begun: BenchServer | undefined;
  #facts: DatabaseFacts | undefined;

  private constructor(parts: LabParts, folder: string) {
    this.#parts = parts;
    this.options = parts.options;
    this.program = parts.program;
    this.say = parts.say;
    this.folder = folder;
    this.#stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  }

  static async open(parts: LabParts): Promise<Lab> {
    const folder = await mkdtemp(join(tmpdir(), 'dropback-bench-'));
    // Whatever anything makes on the way lies in there, and goes with it.
    process.env['TMPDIR'] = folder;
    return new Lab(parts, folder);
  }

  /** Of the database, once there is one. */
  get facts(): DatabaseFacts | undefined {
    return this.#facts;
  }

  get s3(): TestS3 | undefined {
    return this.#parts.s3;
  }

  get docker(): { readonly host: string } | undefined {
    return this.#parts.docker;
  }

  /** With the database in it. */
  server(): Promise<BenchServer> {
    this.#server ??= this.#startServer();
    return this.#server;
  }

  /** Those who were asked for: everybody, unless `--contestant` names some. */
  async takeTurns(all: readonly Contestant[]): Promise<Series[]> {
    const { contestants, repetitions } = this.options;
    const isWanted = (id: string) =>
      contestants.length === 0 || contestants.some((wanted) => id.startsWith(wanted));
    return await takeTurns(
      all.filter((contestant) => isWanted(contestant.id) && this.#isPossible(contestant)),
      repetitions,
      this.say,
    );
  }

  #isPossible({ name, leastMajor = 0 }: Contestant): boolean {
    const major = this.#begun?.major ?? leastMajor;
    if (major >= leastMajor) return true;
    this.leaveOut(`${name}: PostgreSQL ${major} can't do that, ${leastMajor} can`);
    return false;
  }

  /** Told once, however many groups say so. */
  leaveOut(why: string): void {
    if (!this.leftOut.includes(why)) this.leftOut.push(why);
  }

  /** An empty folder of that name. */
  async fresh(name: string): Promise<string> {
    const path = join(this.folder, name);
    await rm(path, { recursive: true, force: true, maxRetries: 5 });
    await mkdir(path);
    return path;
  }

  async #startServer(): Promise<BenchServer> {
    const { postgres, options } = this.#parts;
    if (!postgres) throw new Error('needs a Docker engine, or an installed PostgreSQL server');
    const { image, binDir } = postgres;
    const server = image
      ? await ContainerServer.create(image, binDir)
      : await InstalledServer.create(binDir, this.folder);
    this.#stack.use(server);
    this.#begun = server;
    await server.start();
    this.say(`PostgreSQL ${server.major} in ${server.place} on port ${server.port}`);
    this.say(`filling a database of ${options.size} …`);
    await fillPostgres(server, DATABASE, options.megabytes);
    this.#facts = await postgresFacts(server, DATABASE);
    this.say(JSON.stringify(this.#facts));
    return server;
  }

  /** To be removed too where the run is broken off. */
  keepTrackOf(container: string): void {
    this.#containers.push(container);
  }

  /** What the end of a run does, at once: for a process that was told to end. */
  abandon(): void {
    this.#begun?.abandon();
    if (this.#containers.length > 0) spawnSync('docker', ['rm', '-f', '-v', ...this.#containers]);
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
