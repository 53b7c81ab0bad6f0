import { hasZstd } from '../../archive/zstd.ts';
import type { BackupEngine, Dump, DumpRequest, ReadBack } from '../engine.ts';
import { dump } from './dump.ts';
import { readBack } from './read-back.ts';
import { SqliteEngine } from './sqlite-engine.ts';

/** Backs up a SQLite file while an application of any uid works with it. */
export class SqliteBackupEngine extends SqliteEngine implements BackupEngine {
  protected readonly purpose = 'backup';
  readonly archiveExtension = hasZstd() ? '.db.zst' : '.db';

  async dump(request: DumpRequest, signal: AbortSignal): Promise<Dump> {
    return dump(this.tool, await this.locate(), request, signal);
  }

  readBack(archivePath: string, dumped: Dump, signal: AbortSignal): Promise<ReadBack> {
    return readBack(archivePath, dumped, signal);
  }
}
