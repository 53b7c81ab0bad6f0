import { Bench, Daemon } from '../daemon.ts';

/** Backups that db-backup has made, as a restore in place wants them; in a folder of their own. */
export class OwnArchives implements AsyncDisposable {
  readonly #bench: Bench;

  private constructor(bench: Bench) {
    this.#bench = bench;
  }

  static async create(): Promise<OwnArchives> {
    return new OwnArchives(await Bench.create());
  }

  /** BACKUP_DIR of whoever restores them. */
  get folder(): string {
    return this.#bench.path('backups');
  }

  /** Path of a new backup. */
  async make(url: string): Promise<string> {
    const environment = this.#bench.environment({ DATABASE_URL: url });
    await using daemon = new Daemon('db-backup', environment, ['--once']);
    const { code } = await daemon.exited;
    const manifest = (await this.#bench.manifests()).at(-1);
    if (code === 0 && manifest) return this.#bench.archivePath(manifest);
    throw new Error(`no backup (${code}):\n${daemon.output}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#bench[Symbol.asyncDispose]();
  }
}
