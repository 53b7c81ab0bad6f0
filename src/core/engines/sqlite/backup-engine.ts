import { hasZstd } from '../../archive/zstd.ts';
import { AGE_SUFFIX } from '../../encryption/age-encrypt.ts';
import type { BackupEngine, Dump, DumpPlan, DumpRequest, ReadBack } from '../engine.ts';
import { dump } from './dump.ts';
import { readBack } from './read-back.ts';
import { SqliteEngine, type SqliteEngineOptions } from './sqlite-engine.ts';

export interface SqliteBackupOptions extends SqliteEngineOptions {
  /** Of age: the archive is encrypted to all of them. */
  readonly recipients?: readonly string[];
}

/** Backs up a SQLite file while an application of any uid works with it. */
export class SqliteBackupEngine extends SqliteEngine implements BackupEngine {
  protected readonly purpose = 'backup';
  readonly #recipients: readonly string[];

  constructor(options: SqliteBackupOptions) {
    super(options);
    this.#recipients = options.recipients ?? [];
  }

  /** A file is copied by one. */
  async planDump(): Promise<DumpPlan> {
    const encrypted = this.#recipients.length > 0 ? AGE_SUFFIX : '';
    return { archiveExtension: (hasZstd() ? '.db.zst' : '.db') + encrypted, jobs: 1 };
  }

  async dump(request: DumpRequest, signal: AbortSignal): Promise<Dump> {
    return dump(this.tool, await this.locate(), this.#recipients, request, signal);
  }

  readBack(archivePath: string, dumped: Dump, signal: AbortSignal): Promise<ReadBack> {
    return readBack(archivePath, dumped, signal);
  }
}
