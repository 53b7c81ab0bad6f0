import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Bench } from '../../test/support/daemon.ts';
import { DATABASE, type Lab } from './lab.ts';
import { backUpOnce } from './product.ts';
import type { Contestant } from './series.ts';
import { quote, runShell } from './shell.ts';

/** Since then pg_dump knows other ways to compress than gzip. */
export const METHODS_SINCE = 16;
const METHOD = /-Z zstd/;

/** Whoever takes a backup of the lab's database. */
export class BackupContestants {
  readonly #lab: Lab;
  readonly #cores: string | undefined;

  /** `cores`: as taskset takes them; everything of the clients runs there. */
  constructor(lab: Lab, cores?: string) {
    this.#lab = lab;
    this.#cores = cores;
  }

  /** A script as people use it, run in an empty folder; what it leaves there is its backup. */
  script(
    id: string,
    name: string,
    script: string,
    environment: Record<string, string> = {},
  ): Contestant {
    const run = async () => {
      const server = await this.#lab.server();
      const cwd = await this.#lab.fresh('script');
      await server.settle();
      const whole = this.#cores
        ? `taskset -c ${this.#cores} bash -eo pipefail -c ${quote(script)}`
        : script;
      const told = { ...server.environment(DATABASE), ...environment };
      const seconds = await runShell(whole, { cwd, environment: told });
      const bytes = await bytesIn(cwd);
      await this.#lab.fresh('script');
      return { seconds, ...(bytes > 0 ? { bytes } : {}) };
    };
    return { id, name, run, ...(METHOD.test(script) ? { leastMajor: METHODS_SINCE } : {}) };
  }

  /** One backup of ours. `until`: the fact that ends it; without one, when it is listed. */
  dropback(
    id: string,
    name: string,
    environment: Readonly<Record<string, string>> = {},
    until?: string,
  ): Contestant {
    const run = async () => {
      const server = await this.#lab.server();
      await using bench = await Bench.create();
      await server.settle();
      const { ourJobs } = this.#lab.options;
      const jobs = ourJobs === undefined ? {} : { BACKUP_JOBS: String(ourJobs) };
      const told = { DATABASE_URL: server.url(DATABASE), ...jobs, ...environment };
      const times = await backUpOnce(this.#lab.program, bench, told, this.#cores);
      const seconds = until === undefined ? times.seconds : times.facts[until];
      if (seconds === undefined) throw new Error(`${id}: nothing was told of ${until}`);
      return { ...times, seconds };
    };
    return { id, name, run };
  }
}

export async function bytesIn(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const sizes = entries
    .filter((entry) => entry.isFile())
    .map(async ({ parentPath, name }) => (await lstat(join(parentPath, name))).size);
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
