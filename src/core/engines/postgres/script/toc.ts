import { DropbackError } from '../../../runtime/errors.ts';

/** One entry of `pg_restore -l`. */
export interface TocEntry {
  readonly dumpId: number;
  readonly catalogOid: number;
  readonly oid: number;
  /** For example `TABLE DATA`, `FK CONSTRAINT`. */
  readonly type: string;
  /** Undefined for `-`. */
  readonly schema: string | undefined;
  readonly name: string;
  /** Empty where the archive names none. */
  readonly owner: string;
  /**
   * The listing separates schema, name and owner by spaces, which may be in all of them: true where
   * another reading is possible. Types and ids are never in doubt.
   */
  readonly ambiguous: boolean;
}

export interface Toc {
  readonly databaseName: string | undefined;
  /** `CUSTOM`, `DIRECTORY`, `TAR`. */
  readonly format: string | undefined;
  /** Archive format version, for example `1.16-0`. */
  readonly archiveVersion: string | undefined;
  readonly compression: string | undefined;
  readonly databaseVersion: string | undefined;
  readonly dumpVersion: string | undefined;
  readonly entries: readonly TocEntry[];
}

/** Every type of more than one word that any pg_dump since 9 writes. */
const LONG_TYPES = [
  'ACCESS METHOD',
  'BLOB COMMENTS',
  'BLOB METADATA',
  'CHECK CONSTRAINT',
  'COMMENT',
  'DATABASE PROPERTIES',
  'DEFAULT ACL',
  'EVENT TRIGGER',
  'FK CONSTRAINT',
  'FOREIGN DATA WRAPPER',
  'FOREIGN SERVER',
  'FOREIGN TABLE',
  'INDEX ATTACH',
  'LARGE OBJECT',
  'LARGE OBJECTS',
  'MATERIALIZED VIEW DATA',
  'MATERIALIZED VIEW',
  'OPERATOR CLASS',
  'OPERATOR FAMILY',
  'PROCEDURAL LANGUAGE',
  'PUBLICATION TABLE',
  'PUBLICATION TABLES IN SCHEMA',
  'ROW SECURITY',
  'SECURITY LABEL',
  'SEQUENCE OWNED BY',
  'SEQUENCE SET',
  'SHELL TYPE',
  'STATISTICS DATA',
  'SUBSCRIPTION TABLE',
  'TABLE ATTACH',
  'TABLE DATA',
  'TEXT SEARCH CONFIGURATION',
  'TEXT SEARCH DICTIONARY',
  'TEXT SEARCH PARSER',
  'TEXT SEARCH TEMPLATE',
  'USER MAPPING',
].sort((a, b) => b.length - a.length);

const ENTRY = /^(\d+); (\d+) (\d+) (.*)$/;
const DEPENDS = /^;\s+depends on: ([\d ]+)$/;
const HEADER = /^;\s+([A-Za-z][A-Za-z_ ]*): (.*)$/;

/**
 * Parses the output of `pg_restore -l`. Roles and schemas that are known help to divide names with
 * spaces; without them the first word is the schema and the last one the owner.
 *
 * Throws `archive/unreadable-list` for a line that is neither a comment nor an entry.
 */
export function parseToc(
  listing: string,
  known: { readonly roles?: readonly string[]; readonly schemas?: readonly string[] } = {},
): Toc {
  const header = new Map<string, string>();
  const entries: TocEntry[] = [];
  for (const line of listing.split('\n')) {
    const entry = ENTRY.exec(line);
    if (entry) entries.push(readEntry(entry, known));
    else if (line.startsWith(';')) {
      const [, name, value] = HEADER.exec(line) ?? [];
      if (name !== undefined && value !== undefined) header.set(name.toLowerCase(), value.trim());
    } else if (line.trim() !== '') throw unreadable(line);
  }
  return {
    databaseName: header.get('dbname'),
    format: header.get('format'),
    archiveVersion: header.get('dump version'),
    compression: header.get('compression'),
    databaseVersion: header.get('dumped from database version'),
    dumpVersion: header.get('dumped by pg_dump version'),
    entries,
  };
}

/** From the output of `pg_restore -l --verbose`: the dump ids that each entry depends on. */
export function parseDependencies(listing: string): Map<number, number[]> {
  const dependencies = new Map<number, number[]>();
  let dumpId: number | undefined;
  for (const line of listing.split('\n')) {
    const entry = ENTRY.exec(line)?.[1];
    if (entry !== undefined) dumpId = Number(entry);
    const needed = DEPENDS.exec(line)?.[1];
    if (needed !== undefined && dumpId !== undefined) {
      dependencies.set(dumpId, needed.trim().split(/ +/).map(Number));
    }
  }
  return dependencies;
}

/** What a list for `pg_restore -L` leaves out. */
export interface TocFilter {
  /** Types to leave out, for example `ACL`; comments and labels on such objects go with them. */
  readonly types?: readonly string[];
  /** Schemas whose own entry (not their content) is left out, because they exist already. */
  readonly schemas?: readonly string[];
  readonly also?: (entry: TocEntry) => boolean;
}

/** For the load role: what control does itself, and what only a superuser may create. */
export const CONTROL_TYPES: readonly string[] = [
  'ACL',
  'DEFAULT ACL',
  'DATABASE',
  'DATABASE PROPERTIES',
  'EVENT TRIGGER',
  'EXTENSION',
  'PUBLICATION',
  'PUBLICATION TABLE',
  'PUBLICATION TABLES IN SCHEMA',
  'SUBSCRIPTION',
  'SUBSCRIPTION TABLE',
];

/** The content of a file for `pg_restore -L`: dump ids alone, in the archive's order. */
export function tocList(toc: Toc, filter: TocFilter): string {
  return keptEntries(toc, filter)
    .map((entry) => `${entry.dumpId}; ${entry.catalogOid} ${entry.oid} ${entry.type}\n`)
    .join('');
}

export function keptEntries(toc: Toc, filter: TocFilter): TocEntry[] {
  const types = new Set(filter.types ?? CONTROL_TYPES);
  const schemas = new Set(filter.schemas ?? []);
  return toc.entries.filter((entry) => {
    if (types.has(entry.type) || filter.also?.(entry)) return false;
    if (entry.type === 'SCHEMA') return !schemas.has(entry.name);
    return !isAbout(entry, types);
  });
}

/** `COMMENT - EXTENSION hstore`: the object's type is the beginning of the entry's name. */
function isAbout(entry: TocEntry, types: ReadonlySet<string>): boolean {
  if (entry.type !== 'COMMENT' && entry.type !== 'SECURITY LABEL') return false;
  for (const type of types) if (entry.name.startsWith(`${type} `)) return true;
  return false;
}

function readEntry(
  match: RegExpExecArray,
  known: { readonly roles?: readonly string[]; readonly schemas?: readonly string[] },
): TocEntry {
  const [, dumpId = '', catalogOid = '', oid = '', rest = ''] = match;
  const type =
    LONG_TYPES.find((long) => rest.startsWith(`${long} `)) ?? rest.split(' ', 1)[0] ?? '';
  const names = rest.slice(type.length + 1);
  const schema =
    longestOf(known.schemas, (name) => names.startsWith(`${name} `)) ??
    names.split(' ', 1)[0] ??
    '';
  const behind = names.slice(schema.length + 1);
  const owner =
    longestOf(known.roles, (name) => behind.endsWith(` ${name}`)) ??
    behind.slice(behind.lastIndexOf(' ') + 1);
  const name = behind.slice(0, Math.max(0, behind.length - owner.length - 1));
  return {
    dumpId: Number(dumpId),
    catalogOid: Number(catalogOid),
    oid: Number(oid),
    type,
    schema: schema === '-' ? undefined : schema,
    name,
    owner,
    ambiguous: names.split(' ').length > 3,
  };
}

function longestOf(
  names: readonly string[] | undefined,
  fits: (name: string) => boolean,
): string | undefined {
  return names?.filter(fits).sort((a, b) => b.length - a.length)[0];
}

function unreadable(line: string): DropbackError {
  return new DropbackError(
    'archive/unreadable-list',
    `pg_restore listed something unexpected: ${JSON.stringify(line.slice(0, 120))}`,
    { hint: 'check that the installed pg_restore is what its name says.' },
  );
}
