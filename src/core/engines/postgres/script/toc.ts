import { DropbackError } from '../../../runtime/errors.ts';
import { Listing } from './listing.ts';

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

/** Arrays are such, too. */
export interface TocEntries extends Iterable<TocEntry> {
  filter(wanted: (entry: TocEntry) => boolean): TocEntry[];
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
  /** Of its entries: `TABLE`, `TABLE DATA`. */
  readonly types: ReadonlySet<string>;
  /** In the archive's order. A look at all of them takes a second for a million. */
  readonly entries: TocEntries;
}

/** What helps to divide names with spaces. */
export interface KnownNames {
  readonly roles?: readonly string[];
  readonly schemas?: readonly string[];
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

/** Longer ones first. */
const LONG_BY_WORD = Map.groupBy(LONG_TYPES, (type) => firstWord(type));

/** PostgreSQL has some sixty. */
const MOST_TYPES = 1000;
/** Of a name or value in the head of a listing; none that is used is longer. */
const MOST_HEADER = 1000;

const ENTRY = /^(\d+); (\d+) (\d+) (.*)$/;
const DEPENDS = /^;\s+depends on: ([\d ]+)$/;
const HEADER = /^;\s+([A-Za-z][A-Za-z_ ]*): (.*)$/;

/**
 * Takes in the output of `pg_restore -l`, chunk by chunk. Roles and schemas that are known help to
 * divide names with spaces; without them the first word is the schema and the last one the owner.
 * A hundred thousand tables are a million entries: their lines are kept, and read anew each time.
 *
 * Throws `archive/unreadable-list` for a line that is neither a comment nor an entry, and what
 * `Listing` throws.
 */
export class TocReader {
  readonly #listing: Listing;
  readonly #header = new Map<string, string>();
  readonly #types = new Set<string>();
  readonly #known: SortedNames;

  constructor(listing: Listing, known: KnownNames = {}) {
    this.#listing = listing;
    this.#known = {
      owners: longestFirst(known.roles).map((role) => ` ${role}`),
      schemas: longestFirst(known.schemas).map((schema) => `${schema} `),
    };
  }

  push(chunk: Buffer): void {
    for (const line of this.#listing.push(chunk)) this.#take(line);
  }

  end(): Toc {
    for (const line of this.#listing.end()) this.#take(line);
    const header = this.#header;
    return {
      databaseName: header.get('dbname'),
      format: header.get('format'),
      archiveVersion: header.get('dump version'),
      compression: header.get('compression'),
      databaseVersion: header.get('dumped from database version'),
      dumpVersion: header.get('dumped by pg_dump version'),
      types: this.#types,
      entries: new ListedEntries(this.#listing, this.#known),
    };
  }

  #take(line: string): void {
    const rest = ENTRY.exec(line)?.[4];
    if (rest !== undefined) {
      this.#types.add(typeOf(rest));
      if (this.#types.size > MOST_TYPES) throw unreadable(line);
    } else if (line.startsWith(';')) {
      const [, name, value] = HEADER.exec(line) ?? [];
      if (name !== undefined && value !== undefined) {
        this.#header.set(
          name.toLowerCase().slice(0, MOST_HEADER),
          value.trim().slice(0, MOST_HEADER),
        );
      }
    } else if (line.trim() !== '') throw unreadable(line);
  }
}

class ListedEntries implements TocEntries {
  readonly #listing: Listing;
  readonly #known: SortedNames;

  constructor(listing: Listing, known: SortedNames) {
    this.#listing = listing;
    this.#known = known;
  }

  *[Symbol.iterator](): Generator<TocEntry> {
    for (const line of this.#listing.lines()) {
      const entry = ENTRY.exec(line);
      if (entry) yield readEntry(entry, this.#known);
    }
  }

  filter(wanted: (entry: TocEntry) => boolean): TocEntry[] {
    const found: TocEntry[] = [];
    for (const entry of this) if (wanted(entry)) found.push(entry);
    return found;
  }
}

/** The same of a listing that is there as a whole. */
export function parseToc(listing: string, known: KnownNames = {}): Toc {
  const reader = new TocReader(new Listing(), known);
  reader.push(Buffer.from(listing));
  return reader.end();
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
  return [...tocLines(toc, filter)].join('');
}

export function* tocLines(toc: Toc, filter: TocFilter): Generator<string> {
  const isKept = keeping(filter);
  for (const entry of toc.entries) {
    if (isKept(entry)) {
      yield `${entry.dumpId}; ${entry.catalogOid} ${entry.oid} ${entry.type}\n`;
    }
  }
}

export function keeping(filter: TocFilter): (entry: TocEntry) => boolean {
  const types = new Set(filter.types ?? CONTROL_TYPES);
  const schemas = new Set(filter.schemas ?? []);
  return (entry) => {
    if (types.has(entry.type) || filter.also?.(entry)) return false;
    if (entry.type === 'SCHEMA') return !schemas.has(entry.name);
    return !isAbout(entry, types);
  };
}

/** `COMMENT - EXTENSION hstore`: the object's type is the beginning of the entry's name. */
function isAbout(entry: TocEntry, types: ReadonlySet<string>): boolean {
  if (entry.type !== 'COMMENT' && entry.type !== 'SECURITY LABEL') return false;
  for (const type of types) if (entry.name.startsWith(`${type} `)) return true;
  return false;
}

interface SortedNames {
  /** Each with the space before it. */
  readonly owners: readonly string[];
  /** Each with the space behind it. */
  readonly schemas: readonly string[];
}

function readEntry(match: RegExpExecArray, known: SortedNames): TocEntry {
  const [, dumpId = '', catalogOid = '', oid = '', rest = ''] = match;
  const type = typeOf(rest);
  const names = rest.slice(type.length + 1);
  const schema =
    known.schemas.find((name) => names.startsWith(name))?.slice(0, -1) ?? firstWord(names);
  const behind = names.slice(schema.length + 1);
  const owner =
    known.owners.find((name) => behind.endsWith(name))?.slice(1) ??
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
    ambiguous: names.split(' ', 4).length > 3,
  };
}

function typeOf(rest: string): string {
  const word = firstWord(rest);
  const longer = LONG_BY_WORD.get(word);
  return longer?.find((type) => rest.startsWith(type) && rest[type.length] === ' ') ?? word;
}

function firstWord(text: string): string {
  const end = text.indexOf(' ');
  return end < 0 ? text : text.slice(0, end);
}

function longestFirst(names: readonly string[] = []): string[] {
  return names.toSorted((a, b) => b.length - a.length);
}

function unreadable(line: string): DropbackError {
  return new DropbackError(
    'archive/unreadable-list',
    `pg_restore listed something unexpected: ${JSON.stringify(line.slice(0, 120))}`,
    { hint: 'check that the installed pg_restore is what its name says.' },
  );
}
