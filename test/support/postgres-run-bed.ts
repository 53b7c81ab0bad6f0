import { readdirSync, readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { BackupRun, type RunDependencies } from '../../src/backup/run.ts';
import type { Manifest } from '../../src/core/archive/manifest.ts';
import { parseBackupConfig } from '../../src/core/config/backup.ts';
import { PostgresBackupEngine } from '../../src/core/engines/postgres/backup/engine.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { systemClock } from '../../src/core/runtime/clock.ts';
import { LocalStore } from '../../src/core/stores/local/store.ts';
import { BackupBed, never } from '../integration/postgres-backup-bed.ts';
import { HoldingProxy } from './holding-proxy.ts';
import type { TestServer } from './testbed.ts';

/** Whole backup runs of one database, in this process, behind a proxy that can hang. */
export class PostgresRunBed implements AsyncDisposable {
  readonly bed: BackupBed;
  readonly proxy: HoldingProxy;
  /** BACKUP_DIR/app. */
  readonly folder: string;
  readonly local: LocalStore;
  readonly #backupDir: string;

  private constructor(bed: BackupBed, proxy: HoldingProxy, backupDir: string) {
    this.bed = bed;
    this.proxy = proxy;
    this.#backupDir = backupDir;
    this.folder = join(backupDir, 'app');
    this.local = new LocalStore(this.folder, 'app');
  }

  /** `backupDir`: default one of its own. */
  static async create(server: TestServer, backupDir?: string): Promise<PostgresRunBed> {
    const bed = await BackupBed.create(server);
    const proxy = await HoldingProxy.start(server);
    return new PostgresRunBed(bed, proxy, backupDir ?? join(bed.folder, 'backups'));
  }

  run(
    extra: Readonly<Record<string, string>> = {},
    parts: Partial<RunDependencies> = {},
  ): BackupRun {
    const { connection } = this.bed;
    const config = parseBackupConfig({
      DATABASE_URL: `postgresql://postgres@${connection.host}/${connection.database}`,
      BACKUP_NAME: 'app',
      BACKUP_DIR: this.#backupDir,
      ...extra,
    });
    const engine = new PostgresBackupEngine({
      database: {
        kind: 'postgres',
        connection: { ...connection, host: '127.0.0.1', port: this.proxy.port },
        maintenanceDatabase: 'postgres',
      },
      clock: systemClock,
      jobs: config.jobs,
    });
    const { local } = this;
    const usual = { clock: systemClock, log: silentLogger(), version: '0.0.0' };
    return new BackupRun({ config, engine, local, ...usual, ...parts });
  }

  /** What is listed, each read whole. */
  async verified(): Promise<Manifest[]> {
    const { backups } = await this.local.list(never);
    for (const manifest of backups) await this.local.verify(manifest, never);
    return [...backups];
  }

  /** Backup and state, as retention does in the end. */
  async forget(manifest: Manifest): Promise<void> {
    await this.local.remove(manifest, never);
    await this.local.dropState(manifest.id);
  }

  async files(): Promise<string[]> {
    return (await readdir(this.folder).catch(() => [])).sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.proxy[Symbol.asyncDispose]();
    await this.bed[Symbol.asyncDispose]();
  }
}

/** Programs that this process has started and that still run, by name. */
export function ownPrograms(): { readonly name: string; readonly pid: number }[] {
  const found: { name: string; pid: number }[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const [, name = '', parent] = /^\d+ \((.*)\) \S (\d+)/s.exec(stat) ?? [];
      if (Number(parent) === process.pid) found.push({ name, pid: Number(pid) });
    } catch {
      // It has ended meanwhile.
    }
  }
  return found;
}
