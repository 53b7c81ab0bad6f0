/** What one full pass over a plain script has found. JSON-serialisable. */
export interface ScriptSummary {
  readonly bytes: number;
  readonly lines: number;
  /** As the script declares it, without punctuation: `UTF8`. */
  readonly encoding: string;
  /** `-- Dumped from database version`, `-- Dumped by pg_dump version`; first number is the major. */
  readonly databaseVersion: string | undefined;
  readonly dumpVersion: string | undefined;
  /** Tables that it creates or fills. */
  readonly tables: readonly ScriptTable[];
  /** Roles named by owners, grants, policies, default privileges, AUTHORIZATION, user mappings. */
  readonly roles: readonly string[];
  readonly extensions: readonly { readonly name: string; readonly schema: string | undefined }[];
  readonly schemas: readonly string[];
  readonly tablespaces: readonly string[];
  /** Languages of functions, and those created; sql and internal ones left out. */
  readonly languages: readonly string[];
  /** Of these, those that only a superuser can use or create: c and the untrusted ones. */
  readonly untrustedLanguages: readonly string[];
  readonly eventTriggers: readonly string[];
  readonly publications: readonly string[];
  readonly subscriptions: readonly string[];
  readonly foreignServers: readonly string[];
  readonly foreignDataWrappers: readonly string[];
  readonly largeObjects: number;
  /** Rows, but none of the tables' definitions. */
  readonly dataOnly: boolean;
  /** Definitions, but not one table's data. */
  readonly schemaOnly: boolean;
  /** Made with --create. */
  readonly createsDatabase: boolean;
  /** Made with --clean. */
  readonly drops: boolean;
  readonly warnings: readonly string[];
}

export interface ScriptTable {
  readonly schema: string;
  readonly name: string;
  readonly kind: 'table' | 'foreign table';
  /** False where the script only holds rows for it. */
  readonly created: boolean;
  /** Undefined where the script doesn't say (INSERT … SELECT, CSV). */
  readonly rows: number | undefined;
}
