import type { CopyHeader } from './copy-header.ts';
import type { Looked } from './disposition.ts';
import type { OwnershipStatement } from './ownership.ts';
import { readGrantees } from './privileges.ts';
import type { QualifiedName, StatementReader } from './reader.ts';
import { tooManyNames, tooManyObjects } from './refusals.ts';
import type { ScriptContext } from './script-context.ts';
import type { StatementHead } from './statement-head.ts';
import type { ScriptSummary, ScriptTable } from './summary.ts';

const MOST_NAMES = 500_000;
/** A name has 63 bytes at most; what a file says has as many as it likes. */
const MOST_NAME_CHARACTERS = 64 * 1024 * 1024;
/** Trusted languages of the distribution, and those that need no CREATE LANGUAGE. */
const TRUSTED_LANGUAGES = new Set(['plpgsql', 'plperl', 'pltcl', 'plv8', 'pltrusted', 'plrust']);
const UNLISTED_LANGUAGES = new Set(['sql', 'internal']);

type Lists = 'schemas' | 'tablespaces' | 'languages' | 'eventTriggers' | 'publications';
type MoreLists = 'subscriptions' | 'foreignServers' | 'foreignDataWrappers' | 'roles';

interface TableFacts {
  schema: string;
  name: string;
  kind: ScriptTable['kind'];
  created: boolean;
  rows: number | undefined;
}

/** Collects the facts of a script, statement by statement, within a fixed bound of names. */
export class SummaryBuilder {
  readonly warnings: string[] = [];
  databaseVersion: string | undefined;
  dumpVersion: string | undefined;
  /** pg_dump has announced the data of a table, though it may hold no rows. */
  hasData = false;
  readonly #context: ScriptContext;
  readonly #tables = new Map<string, TableFacts>();
  readonly #extensions = new Map<string, string | undefined>();
  readonly #lists = new Map<Lists | MoreLists, Set<string>>();
  /** Most rows follow a row of the same table. */
  #last: { name: QualifiedName; defaultSchema: string | undefined; table: TableFacts } | undefined;
  #largeObjects = 0;
  #definitions = 0;
  #createsDatabase = false;
  #drops = false;
  #names = 0;
  #nameCharacters = 0;

  constructor(context: ScriptContext) {
    this.#context = context;
  }

  copyBlock(header: CopyHeader): void {
    this.hasData = true;
    this.rows({ schema: header.schema, name: header.table }, header.lineIsRow ? 0 : undefined);
  }

  /** Adds rows of one table; undefined where their number is not known. */
  rows(name: QualifiedName, rows: number | undefined): void {
    this.hasData = true;
    const table = this.#table(name);
    table.rows = rows === undefined || table.rows === undefined ? undefined : table.rows + rows;
  }

  statement({ head, reader, disposition }: Looked): void {
    if (disposition.action === 'leave-out' || disposition.action === 'replace') {
      if (disposition.ownership) this.#rolesOf(disposition.ownership);
      const reason = disposition.action === 'replace' ? 'owner' : disposition.reason;
      if (reason === 'clean') this.#drops = true;
      if (reason === 'identity' && this.#context.sessionRole !== undefined) {
        this.#add('roles', this.#context.sessionRole);
      }
      if (reason === 'clean') return;
    }
    if (head.verb === 'create') this.#created(head, reader);
    else if (head.verb === 'alter' && head.kind === 'policy') this.#policyRoles(reader);
    else if (head.verb === 'select') this.#selected(reader);
    else if (head.verb === 'set') this.#tablespace(reader);
  }

  #created(head: StatementHead, reader: StatementReader): void {
    const name = head.name?.name;
    if (this.#context.sessionRole !== undefined) this.#warnOfOwners();
    if (head.kind === 'database') this.#createsDatabase = true;
    else if (head.kind !== 'schema' && head.kind !== 'extension') this.#definitions++;
    if (head.name && (head.kind === 'table' || head.kind === 'foreign table')) {
      const isTemporary = head.modifiers.some((word) => word.startsWith('temp'));
      if (!isTemporary) this.#createdTable(head.name, head.kind);
    }
    if (head.kind === 'policy') this.#policyRoles(reader);
    if (head.kind === 'function' || head.kind === 'procedure') this.#language(reader);
    if (head.kind === 'user mapping') this.#userMapping(reader);
    if (name === undefined) {
      if (head.kind === 'schema' && reader.words('authorization')) this.#addRole(reader);
      return;
    }
    if (head.kind === 'extension') this.#extension(name, reader);
    if (head.kind === 'language') this.#add('languages', name);
    if (head.kind === 'schema') this.#add('schemas', name);
    if (head.kind === 'event trigger') this.#add('eventTriggers', name);
    if (head.kind === 'publication') this.#add('publications', name);
    if (head.kind === 'subscription') this.#add('subscriptions', name);
    if (head.kind === 'server') this.#add('foreignServers', name);
    if (head.kind === 'foreign data wrapper') this.#add('foreignDataWrappers', name);
  }

  /** pg_dump --use-set-session-authorization: nothing says whose each object is. */
  #warnOfOwners(): void {
    const warning = 'owners set by SET SESSION AUTHORIZATION are not taken over';
    if (!this.warnings.includes(warning)) this.warnings.push(warning);
  }

  #createdTable(name: QualifiedName, kind: ScriptTable['kind']): void {
    const table = this.#table(name);
    table.kind = kind;
    table.created = true;
  }

  #extension(name: string, reader: StatementReader): void {
    reader.words('with');
    const schema = reader.words('schema') ? reader.identifier() : undefined;
    if (!this.#extensions.has(name)) this.#count(name, schema);
    this.#extensions.set(name, schema);
  }

  /** `LANGUAGE name` outside the parentheses; the body is one token. */
  #language(reader: StatementReader): void {
    for (let token = reader.next(); token; token = reader.next()) {
      if (token.type === 'symbol' && token.text === '(') reader.skipGroup();
      if (token.type !== 'word' || token.text !== 'language') continue;
      const language = reader.literal() ?? reader.identifier();
      if (language !== undefined && !UNLISTED_LANGUAGES.has(language.toLowerCase())) {
        this.#add('languages', language.toLowerCase());
      }
      return;
    }
  }

  /** `CREATE POLICY name ON table [AS …] [FOR …] [TO roles] [USING …]`. */
  #policyRoles(reader: StatementReader): void {
    for (let token = reader.next(); token; token = reader.next()) {
      if (token.type === 'symbol' && token.text === '(') return;
      if (token.type !== 'word' || token.text !== 'to') continue;
      for (const grantee of readGrantees(reader) ?? []) {
        if ('role' in grantee) this.#add('roles', grantee.role);
      }
      return;
    }
  }

  #userMapping(reader: StatementReader): void {
    reader.rewind(0);
    for (let token = reader.next(); token; token = reader.next()) {
      if (token.type !== 'word' || token.text !== 'for') continue;
      if (!reader.words('public')) this.#addRole(reader);
      return;
    }
  }

  #addRole(reader: StatementReader): void {
    const role = reader.identifier();
    if (role !== undefined) this.#add('roles', role);
  }

  #selected(reader: StatementReader): void {
    const name = reader.qualifiedName()?.name;
    if (name === 'lo_create') this.#largeObjects++;
    if (name === 'lo_open' || name === 'setval') this.hasData = true;
  }

  #tablespace(reader: StatementReader): void {
    reader.rewind(0);
    if (!reader.words('set', 'default_tablespace')) return;
    reader.next();
    const name = reader.literal() ?? reader.identifier();
    if (name !== undefined && name !== '') this.#add('tablespaces', name);
  }

  #rolesOf(statement: OwnershipStatement): void {
    if (statement.kind === 'owner') {
      this.#add('roles', statement.role);
      return;
    }
    for (const grantee of statement.grantees) {
      if ('role' in grantee) this.#add('roles', grantee.role);
    }
    if ('forRoles' in statement) for (const role of statement.forRoles) this.#add('roles', role);
    else if (statement.grantor !== undefined) this.#add('roles', statement.grantor);
  }

  #table(name: QualifiedName): TableFacts {
    const { defaultSchema } = this.#context;
    if (name === this.#last?.name && defaultSchema === this.#last.defaultSchema) {
      return this.#last.table;
    }
    const table = this.#tableOf(name);
    this.#last = { name, defaultSchema, table };
    return table;
  }

  #tableOf(name: QualifiedName): TableFacts {
    const qualified = this.#context.qualify(name);
    const key = JSON.stringify([qualified.schema, qualified.name]);
    const known = this.#tables.get(key);
    if (known) return known;
    this.#count(qualified.schema, qualified.name);
    const table: TableFacts = { ...qualified, kind: 'table', created: false, rows: 0 };
    this.#tables.set(key, table);
    return table;
  }

  #add(list: Lists | MoreLists, name: string): void {
    const names = this.#lists.get(list) ?? new Set<string>();
    if (!names.has(name)) this.#count(name);
    this.#lists.set(list, names.add(name));
  }

  #count(...names: readonly (string | undefined)[]): void {
    if (++this.#names > MOST_NAMES) throw tooManyObjects(MOST_NAMES);
    for (const name of names) this.#nameCharacters += name?.length ?? 0;
    if (this.#nameCharacters > MOST_NAME_CHARACTERS) throw tooManyNames(MOST_NAME_CHARACTERS);
  }

  summary(read: { bytes: number; lines: number; encoding: string }): ScriptSummary {
    const list = (name: Lists | MoreLists) => [...(this.#lists.get(name) ?? [])].sort();
    const tables = [...this.#tables.values()];
    const languages = list('languages');
    return {
      ...read,
      databaseVersion: this.databaseVersion,
      dumpVersion: this.dumpVersion,
      tables,
      roles: list('roles'),
      extensions: [...this.#extensions].map(([name, schema]) => ({ name, schema })),
      schemas: list('schemas'),
      tablespaces: list('tablespaces'),
      languages,
      untrustedLanguages: languages.filter((language) => !TRUSTED_LANGUAGES.has(language)),
      eventTriggers: list('eventTriggers'),
      publications: list('publications'),
      subscriptions: list('subscriptions'),
      foreignServers: list('foreignServers'),
      foreignDataWrappers: list('foreignDataWrappers'),
      largeObjects: this.#largeObjects,
      dataOnly: this.hasData && this.#definitions === 0,
      schemaOnly: !this.hasData && this.#definitions > 0,
      createsDatabase: this.#createsDatabase,
      drops: this.#drops,
      warnings: this.warnings,
    };
  }
}
