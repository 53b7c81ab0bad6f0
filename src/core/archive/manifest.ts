import type { EngineKind } from '../engines/engine.ts';
import type { ArchiveFormat } from './format.ts';

/**
 * The manifest of a backup, version 1: written last, never changed, checksummed by itself. What
 * happens to a backup afterwards is in its state file. Enough to restore without this software.
 */
export interface Manifest {
  readonly format: 'dropback-manifest';
  readonly version: 1;
  /** `<name>_20261122T191500Z`: the archive's and the manifest's common stem. */
  readonly id: string;
  /** BACKUP_NAME. */
  readonly name: string;
  /** Random, of the local folder that it was made in; see `origin.ts`. */
  readonly origin?: string;
  readonly engine: EngineKind;
  /** Time of the snapshot that the archive holds; ISO 8601, UTC. */
  readonly createdAt: string;
  readonly finishedAt: string;
  readonly archive: {
    /** File name, without a folder. */
    readonly file: string;
    readonly format: ArchiveFormat;
    readonly compression: 'zstd' | 'none';
    readonly bytes: number;
    /** Of the file as stored, hex. */
    readonly sha256: string;
    /** After decryption and decompression. */
    readonly contentBytes: number;
    /** Of the content, where the engine knows it (SQLite). */
    readonly contentSha256?: string;
    /** Where the file is encrypted: with which program, and to whom (public keys). */
    readonly encryption?: { readonly method: 'age'; readonly recipients: readonly string[] };
  };
  readonly database: {
    readonly name: string;
    readonly version: string;
    readonly sizeBytes: number;
    /** Encoding, locale, page size and the like; names are the engine's. */
    readonly properties: Readonly<Record<string, string | number | boolean | null>>;
    /** Constraints and indexes that were not valid in the source, as `schema.table.name`. */
    readonly notValid: readonly string[];
  };
  /** The program that wrote the archive. */
  readonly tool: { readonly name: string; readonly version: string };
  /** Version of this software. */
  readonly dropback: string;
  readonly tables: readonly TableCount[];
  /** Where the row counts come from. */
  readonly rowCounts: 'exact' | 'archive';
  /** Roles that own something or are granted something. */
  readonly roles: readonly string[];
  /** PostgreSQL: what a server must know before `roles` can own anything there. */
  readonly globals?: Globals;
  readonly extensions: readonly string[];
  /** Patterns whose tables' data were left out. */
  readonly excludedTableData: readonly string[];
  /** The tables that fitted, and come back empty; undefined where nothing was to be left out. */
  readonly leftOut?: readonly LeftOutTable[];
  readonly warnings: readonly string[];
  /** Shell commands that restore it by hand. */
  readonly restoreByHand: readonly string[];
}

/** Roles live in the server, not in the database: an archive names them and doesn't hold them. */
export type Globals =
  | { readonly roles: readonly SavedRole[] }
  /** As JSON, encrypted like the archive, in age's text format. */
  | { readonly encrypted: string };

export type SavedRoleAttribute =
  | 'SUPERUSER'
  | 'INHERIT'
  | 'CREATEROLE'
  | 'CREATEDB'
  | 'LOGIN'
  | 'REPLICATION'
  | 'BYPASSRLS';

export interface SavedRole {
  readonly name: string;
  /** As the server stores it, never in the clear; only where the roles are encrypted. */
  readonly password?: string;
  readonly attributes: readonly SavedRoleAttribute[];
  /** -1: none. */
  readonly connectionLimit: number;
  /** As PostgreSQL writes it, `infinity` included. */
  readonly validUntil?: string;
  /** ALTER ROLE … SET, in every database. */
  readonly settings: readonly SavedSetting[];
  /** ALTER ROLE … IN DATABASE … SET, in the database of the backup; missing: none. */
  readonly databaseSettings?: readonly SavedSetting[];
  readonly memberOf: readonly SavedMembership[];
}

export interface SavedSetting {
  readonly name: string;
  /** As the server stores it. */
  readonly value: string;
}

export interface SavedMembership {
  readonly role: string;
  readonly admin: boolean;
  /** Servers before 16 don't have it; as `set`. */
  readonly inherit?: boolean;
  readonly set?: boolean;
}

export interface LeftOutTable {
  readonly schema: string;
  readonly name: string;
  /** In the source, where they were counted. */
  readonly rows?: number;
}

export interface TableCount {
  /** Schema; `main` for SQLite. */
  readonly schema: string;
  readonly name: string;
  readonly rows: number;
}
