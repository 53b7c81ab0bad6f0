import type { Manifest } from '../core/archive/manifest.ts';
import type { Dump, EngineKind, ReadBack } from '../core/engines/engine.ts';
import { restoreByHand } from './restore-by-hand.ts';
import type { SavedGlobals } from './save-globals.ts';

export interface ManifestFacts {
  readonly id: string;
  readonly name: string;
  readonly origin?: string | undefined;
  readonly engine: EngineKind;
  readonly archiveFile: string;
  readonly dump: Dump;
  readonly readBack: ReadBack;
  /** The dump's roles. */
  readonly saved?: SavedGlobals | undefined;
  readonly rowCounts: 'exact' | 'archive';
  readonly excludedTableData: readonly string[];
  readonly finishedAt: Date;
  readonly version: string;
}

/** Puts together what the dump and its read-back have shown. */
export function manifestOf(facts: ManifestFacts): Manifest {
  const { dump, readBack } = facts;
  const archive = {
    ...dump.archive,
    file: facts.archiveFile,
    contentBytes: readBack.contentBytes,
  };
  const { database, tool } = dump;
  const { savedRoles: roles } = dump;
  const { command: makeRoles, settingsCommand: roleSettings } = facts.saved ?? {};
  return {
    format: 'dropback-manifest',
    version: 1,
    id: facts.id,
    name: facts.name,
    ...(facts.origin === undefined ? {} : { origin: facts.origin }),
    engine: facts.engine,
    createdAt: dump.snapshotAt,
    finishedAt: facts.finishedAt.toISOString(),
    archive,
    database,
    tool,
    dropback: facts.version,
    tables: facts.rowCounts === 'exact' ? dump.tables : readBack.tables,
    rowCounts: facts.rowCounts,
    roles: dump.roles,
    ...(facts.saved ? { globals: facts.saved.globals } : {}),
    extensions: dump.extensions,
    excludedTableData: facts.excludedTableData,
    ...(dump.leftOut ? { leftOut: dump.leftOut } : {}),
    warnings: dump.warnings,
    restoreByHand: restoreByHand({
      archive,
      database,
      tool,
      ...(roles ? { roles } : {}),
      ...(makeRoles === undefined ? {} : { makeRoles }),
      ...(roleSettings === undefined ? {} : { roleSettings }),
    }),
  };
}
