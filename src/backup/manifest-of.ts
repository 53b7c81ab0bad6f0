import type { Manifest } from '../core/archive/manifest.ts';
import type { Dump, EngineKind, ReadBack } from '../core/engines/engine.ts';

export interface ManifestFacts {
  readonly id: string;
  readonly name: string;
  readonly engine: EngineKind;
  readonly archiveFile: string;
  readonly dump: Dump;
  readonly readBack: ReadBack;
  readonly rowCounts: 'exact' | 'archive';
  readonly excludedTableData: readonly string[];
  readonly finishedAt: Date;
  readonly version: string;
}

/** Puts together what the dump and its read-back have shown. */
export function manifestOf(facts: ManifestFacts): Manifest {
  const { dump, readBack } = facts;
  return {
    format: 'dropback-manifest',
    version: 1,
    id: facts.id,
    name: facts.name,
    engine: facts.engine,
    createdAt: dump.snapshotAt,
    finishedAt: facts.finishedAt.toISOString(),
    archive: { ...dump.archive, file: facts.archiveFile, contentBytes: readBack.contentBytes },
    database: dump.database,
    tool: dump.tool,
    dropback: facts.version,
    tables: facts.rowCounts === 'exact' ? dump.tables : readBack.tables,
    rowCounts: facts.rowCounts,
    roles: dump.roles,
    extensions: dump.extensions,
    excludedTableData: facts.excludedTableData,
    warnings: dump.warnings,
    restoreByHand: restoreByHand(facts),
  };
}

/**
 * Commands of standard tools alone; `NEW` stands for the database or file to restore into, `DIR` for
 * a new folder.
 */
function restoreByHand({ archiveFile, dump }: ManifestFacts): string[] {
  const unpack =
    dump.archive.compression === 'zstd' ? `zstd -d < ${archiveFile}` : `cat ${archiveFile}`;
  const check = `echo '${dump.archive.sha256}  ${archiveFile}' | sha256sum -c`;
  if (dump.archive.format === 'sqlite-file') {
    return [check, `${unpack} > NEW.db`, "sqlite3 NEW.db 'PRAGMA integrity_check'"];
  }
  const create = 'createdb --template=template0 NEW';
  if (dump.archive.format === 'postgres-directory') {
    return [
      check,
      create,
      `mkdir DIR && tar -xf ${archiveFile} -C DIR && pg_restore -j4 --exit-on-error --dbname=NEW DIR`,
    ];
  }
  return [check, create, `${unpack} | pg_restore --exit-on-error --dbname=NEW`];
}
