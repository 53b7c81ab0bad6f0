import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Manifest } from '../../src/core/archive/manifest.ts';
import type { UnpackedDrop } from '../../src/core/archive/unpacked.ts';
import { PostgresBackupEngine } from '../../src/core/engines/postgres/backup/engine.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { systemClock } from '../../src/core/runtime/clock.ts';
import { never, type RestoreBed } from './postgres-restore-bed.ts';

const run = promisify(execFile);

/** A database backed up by our own engine, unpacked as the restore daemon unpacks it. */
export async function ownBackup(bed: RestoreBed, database: string): Promise<UnpackedDrop> {
  await using engine = new PostgresBackupEngine({
    database: {
      kind: 'postgres',
      connection: bed.connection({ database }),
      maintenanceDatabase: 'postgres',
    },
    clock: systemClock,
    lockWaitMs: 5000,
  });
  const spool = join(bed.folder, `own-${randomBytes(4).toString('hex')}.dump.zst`);
  const request = {
    spool,
    compressionLevel: 3,
    excludeTableData: [],
    rowCounts: 'exact' as const,
    nice: 0,
    log: silentLogger(),
  };
  const dump = await engine.dump(request, never);
  await run('zstd', ['-q', '-d', spool, '-o', `${spool}.raw`]);
  const drop = await bed.drop('postgres-custom', `${spool}.raw`);
  return { ...drop, manifest: { ...dump, engine: 'postgres' } as unknown as Manifest };
}
