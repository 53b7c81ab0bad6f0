import type { TableCount } from '../../archive/manifest.ts';
import type { ToldError } from '../../runtime/process/told-error.ts';

/**
 * What the daemon asks of `tool.ts`, the process in which all SQLite work happens: one request, one
 * answer. All paths are absolute. The tool runs as the owner of the database file, except for
 * `inspect` and `load`, which never see the live database.
 */
export interface Operations {
  version: { request: null; answer: string };
  probe: { request: { path: string }; answer: FileFacts };
  survey: { request: SurveyRequest; answer: Survey };
  lock: { request: LockFileRequest; answer: null };
  copy: { request: CopyRequest; answer: CopyAnswer };
  remove: { request: { paths: readonly string[] }; answer: null };
  inspect: { request: { path: string }; answer: ContentFacts };
  load: { request: LoadRequest; answer: null };
  create: { request: CreateRequest; answer: { identity: string } };
  prepare: { request: PrepareRequest; answer: { warnings: readonly string[]; bytes: number } };
  identify: { request: { paths: readonly string[] }; answer: readonly (FileIdentity | null)[] };
  replace: { request: ReplaceRequest; answer: ReplaceAnswer };
  keep: { request: KeepRequest; answer: KeepAnswer };
  overwrite: { request: OverwriteRequest; answer: OverwriteAnswer };
  settle: { request: SettleRequest; answer: { warnings: readonly string[] } };
  compare: { request: CompareRequest; answer: { matches: 'new' | 'old' } };
  list: { request: { folder: string; prefix: string }; answer: readonly ListedFile[] };
  ask: { request: { path: string; queries: readonly string[] }; answer: readonly QueryAnswer[] };
}

export type OperationName = keyof Operations;

/** `rollback` covers delete, truncate and persist: SQLite stores only whether a file is in WAL. */
export type JournalMode = 'wal' | 'rollback';

/** A file on its volume. */
export interface FileIdentity {
  /** `dev:inode`, decimal. */
  readonly identity: string;
  readonly bytes: number;
}

export interface FileFacts extends FileIdentity {
  readonly sqliteVersion: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  /** The file lies on another device than its folder: it is mounted by itself. */
  readonly isMount: boolean;
  readonly freeBytes: number;
  readonly journalMode: JournalMode;
  readonly pageSize: number;
  readonly pages: number;
  readonly freePages: number;
  readonly encoding: string;
  readonly userVersion: number;
  readonly applicationId: number;
}

export interface SurveyRequest {
  readonly path: string;
  /** Tables whose bytes (indexes included) are wanted. */
  readonly bytesOf: readonly string[];
  readonly rows: boolean;
  readonly foreignKeys: boolean;
}

export interface Survey {
  readonly tables: readonly TableCount[];
  readonly bytes: Readonly<Record<string, number>>;
  readonly foreignKeys: readonly BrokenReferences[];
}

/** Rows of `table` that refer to rows of `parent` that don't exist. */
export interface BrokenReferences {
  readonly table: string;
  readonly parent: string;
  readonly rows: number;
}

export interface LockFileRequest {
  readonly path: string;
  readonly purpose: 'backup' | 'restore' | 'rehearsal';
  readonly waitMs: number;
}

export interface CopyRequest {
  readonly from: string;
  /** Folder that is created, mode 0700, and in it `copy.db`. */
  readonly folder: string;
  /** Milliseconds to wait for a writer in rollback-journal mode. */
  readonly busyMs: number;
}

export interface CopyAnswer {
  readonly source: FileFacts;
  /** When the read transaction began; ISO 8601, UTC. */
  readonly snapshotAt: string;
  readonly copy: string;
  readonly bytes: number;
}

/** What is inside a database file, after every page of it was read. */
export interface ContentFacts {
  readonly bytes: number;
  readonly pageSize: number;
  readonly journalMode: JournalMode;
  readonly encoding: string;
  readonly userVersion: number;
  readonly applicationId: number;
  readonly tables: readonly TableCount[];
  /** Damage that makes the file unusable. */
  readonly damage: readonly string[];
  /** Findings of integrity_check that concern values, not the file's structure. */
  readonly oddities: readonly string[];
  readonly foreignKeys: readonly BrokenReferences[];
  /** Tables that can't be checked without what only the application brings. */
  readonly notChecked: readonly string[];
}

export interface LoadRequest {
  readonly from: string;
  /** Database file to create. */
  readonly to: string;
  readonly mostBytes: number;
}

export interface CreateRequest {
  readonly path: string;
  readonly needBytes: number;
}

export interface PrepareRequest {
  readonly path: string;
  /** Page size of the live file; undefined where there is none. */
  readonly pageSize: number | null;
  readonly mode: number;
}

export interface ReplaceRequest {
  readonly path: string;
  readonly staging: string;
  readonly stagingIdentity: string;
  /** Where the old file is kept. */
  readonly previous: string;
  readonly waitMs: number;
  /**
   * `proven`: only where nobody else has the live file open. `create`: no live file is expected, an
   * existing one is never replaced. `damaged`: SQLite can't open the live file, so nothing can be
   * proven; it is put aside with its -wal and -journal.
   */
  readonly how: 'proven' | 'create' | 'damaged';
}

export type ReplaceAnswer =
  | {
      readonly done: true;
      readonly previous: FileIdentity | null;
      readonly warnings: readonly string[];
    }
  /** A rename is not possible here; nothing was changed. */
  | { readonly done: false; readonly reason: string };

/** What a query that is to return true has returned: a value, or why there is none. */
export type QueryAnswer =
  | { readonly rows: number; readonly value: string | number | null }
  | { readonly error: string };

export interface KeepRequest {
  readonly path: string;
  readonly previous: string;
  readonly waitMs: number;
}

export interface KeepAnswer extends FileIdentity {
  /** Change counter of the live file at the instant of the copy. */
  readonly changeCounter: number;
}

export interface OverwriteRequest {
  readonly path: string;
  readonly staging: string;
  /** As `keep` answered; another one in the file means that someone wrote in between. */
  readonly changeCounter: number | null;
  readonly waitMs: number;
}

export type OverwriteAnswer = { readonly done: true } | { readonly done: false };

export interface SettleRequest {
  readonly path: string;
  readonly journalMode: JournalMode;
  readonly mode: number | null;
}

export interface CompareRequest {
  readonly path: string;
  readonly newFile: string;
  readonly oldFile: string | null;
  readonly waitMs: number;
}

export interface ListedFile extends FileIdentity {
  readonly name: string;
  readonly links: number;
}

export type Message<K extends OperationName> =
  | { readonly result: Operations[K]['answer'] }
  | { readonly progress: number }
  | { readonly event: 'waiting' | 'held'; readonly holder?: string }
  | { readonly error: ToldError };
