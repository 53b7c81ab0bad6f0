import type { ScriptEncoding } from './encoding.ts';
import type { StatementEvent } from './events.ts';
import { LargeObjectTransaction } from './large-object-transaction.ts';
import { MetaCommands } from './meta-commands.ts';
import { type OwnershipStatement, parseOwnership } from './ownership.ts';
import { StatementReader } from './reader.ts';
import { ScriptContext } from './script-context.ts';
import { readHead, type StatementHead } from './statement-head.ts';

/** Why a statement doesn't reach the server. */
export type LeftOutReason =
  | 'owner'
  | 'grant'
  | 'identity'
  | 'database'
  | 'extension'
  | 'schema'
  | 'clean'
  | 'setting'
  | 'statistics'
  | 'tablespace'
  | 'event trigger'
  | 'publication'
  | 'subscription';

export type Disposition =
  | { readonly action: 'keep' }
  /** Holds it until the next statement shows what the transaction is for. */
  | { readonly action: 'hold' }
  | { readonly action: 'replace'; readonly sql: string; readonly ownership: OwnershipStatement }
  | {
      readonly action: 'leave-out';
      readonly reason: LeftOutReason;
      /** Present for `owner` and `grant` that parsed. */
      readonly ownership?: OwnershipStatement;
    };

export interface DispositionOptions {
  /** Major version of the server that will run the script. */
  readonly serverMajor: number;
  /** Schemas that exist before the script runs. Default: `public`. */
  readonly existingSchemas?: readonly string[];
  /** What the load role could not create. Default: all three, and tablespaces. */
  readonly leaveOut?: readonly ('event trigger' | 'publication' | 'subscription' | 'tablespace')[];
}

/** A statement that was looked at: what to do with it, and its head for whoever collects facts. */
export interface Looked {
  readonly disposition: Disposition;
  readonly head: StatementHead;
  readonly reader: StatementReader;
}

const KEEP: Disposition = { action: 'keep' };
const EVERYTHING = ['event trigger', 'publication', 'subscription', 'tablespace'] as const;

/** Settings that a newer pg_dump writes, and the first major that knows them. */
const SETTINGS_SINCE: Readonly<Record<string, number>> = {
  transaction_timeout: 17,
  default_table_access_method: 12,
};

const LARGE_OBJECT_CALLS = new Set(['lo_open', 'lowrite', 'lo_close', 'lo_create', 'loread']);

const OBJECT_HEADER = /^-- (?:Data for |Statistics for )?Name: .*; Type: (?!DATABASE)/s;

/**
 * Decides, statement by statement, what of a script the load role gets to run. It is the same for
 * the inspection and for the load, so that what a load would refuse is refused beforehand.
 *
 * Throws `drop/transaction-control` and `drop/meta-command`.
 */
export class Dispositions {
  readonly context = new ScriptContext();
  readonly meta = new MetaCommands();
  readonly #options: DispositionOptions;
  readonly #existing: ReadonlySet<string>;
  readonly #leaveOut: ReadonlySet<string>;
  /** pg_dump --clean puts its DROPs before the first object; staging is empty, so they are moot. */
  #cleaning = true;
  readonly #transaction = new LargeObjectTransaction();

  constructor(options: DispositionOptions) {
    this.#options = options;
    this.#existing = new Set(options.existingSchemas ?? ['public']);
    this.#leaveOut = new Set(options.leaveOut ?? EVERYTHING);
  }

  comment(bytes: Buffer): void {
    if (this.#cleaning && OBJECT_HEADER.test(bytes.toString('latin1'))) this.#cleaning = false;
  }

  /** Rows: a COPY block or an INSERT. */
  data(): void {
    this.#cleaning = false;
    this.#transaction.requireNone();
  }

  statement(event: StatementEvent, encoding: ScriptEncoding, standardStrings: boolean): Looked {
    const reader = new StatementReader(event.bytes, encoding.decodeLoosely, standardStrings);
    const head = readHead(reader);
    const behindHead = reader.position;
    const disposition = this.#decide(event, head, reader, encoding);
    reader.rewind(behindHead);
    return { disposition, head, reader };
  }

  #decide(
    event: StatementEvent,
    head: StatementHead,
    reader: StatementReader,
    encoding: ScriptEncoding,
  ): Disposition {
    const behindHead = reader.position;
    if (head.verb === 'transaction') {
      return this.#transaction.control(event) === 'opened' ? { action: 'hold' } : KEEP;
    }
    if (head.verb === 'select') return this.#select(reader);
    this.#transaction.requireNone();
    if (head.verb === 'set' || head.verb === 'reset') return this.#set(reader);
    if (head.verb === 'grant' || head.verb === 'revoke')
      return this.#ownership(event, encoding, 'grant');
    if (head.kind === 'default privileges') return this.#ownership(event, encoding, 'grant');
    if (head.verb === 'alter' && changesOwnerAlone(reader)) {
      const owner = this.#ownership(event, encoding, 'owner');
      return this.#isDatabase(head) ? { action: 'leave-out', reason: 'database' } : owner;
    }
    reader.rewind(behindHead);
    return this.#definition(event, head, reader);
  }

  #definition(event: StatementEvent, head: StatementHead, reader: StatementReader): Disposition {
    const { verb, kind } = head;
    if (this.#isDatabase(head)) {
      if (verb === 'create') this.meta.databaseCreated();
      return { action: 'leave-out', reason: 'database' };
    }
    if (this.#cleaning && isCleaning(head)) return { action: 'leave-out', reason: 'clean' };
    if (verb === 'create') this.#cleaning = false;
    if (kind === 'extension') return { action: 'leave-out', reason: 'extension' };
    if (kind === 'event trigger' || kind === 'publication' || kind === 'subscription') {
      return this.#leaveOut.has(kind) ? { action: 'leave-out', reason: kind } : KEEP;
    }
    if (verb === 'create' && kind === 'schema') return this.#schema(event, head, reader);
    return KEEP;
  }

  #schema(_event: StatementEvent, head: StatementHead, reader: StatementReader): Disposition {
    const name = head.name?.name;
    if (name === undefined) return KEEP;
    if (this.#existing.has(name)) return { action: 'leave-out', reason: 'schema' };
    if (!reader.words('authorization')) return KEEP;
    const role = reader.identifier();
    if (role === undefined || !reader.atEnd) return KEEP;
    const sql = `CREATE SCHEMA "${name.replaceAll('"', '""')}";`;
    return {
      action: 'replace',
      sql,
      ownership: { kind: 'owner', object: { kind: 'schema', name }, role },
    };
  }

  #set(reader: StatementReader): Disposition {
    reader.rewind(0);
    const found = this.context.notice(reader);
    if (!found) return KEEP;
    if ('role' in found) return { action: 'leave-out', reason: 'identity' };
    const since = SETTINGS_SINCE[found.setting];
    if (since !== undefined && this.#options.serverMajor < since) {
      return { action: 'leave-out', reason: 'setting' };
    }
    if (found.setting === 'default_tablespace' && this.#leaveOut.has('tablespace')) {
      return { action: 'leave-out', reason: 'tablespace' };
    }
    return KEEP;
  }

  #select(reader: StatementReader): Disposition {
    const name = reader.symbol('*') && reader.words('from') ? undefined : reader.qualifiedName();
    if (name && LARGE_OBJECT_CALLS.has(name.name)) {
      this.#cleaning = false;
      return KEEP;
    }
    this.#transaction.requireNone();
    if (this.#cleaning && name?.name === 'lo_unlink') {
      return { action: 'leave-out', reason: 'clean' };
    }
    const called = name ?? reader.qualifiedName();
    const isStatistics = called && /^pg_restore_(relation|attribute)_stats$/.test(called.name);
    if (isStatistics && this.#options.serverMajor < 18) {
      return { action: 'leave-out', reason: 'statistics' };
    }
    return KEEP;
  }

  #ownership(
    event: StatementEvent,
    encoding: ScriptEncoding,
    reason: 'owner' | 'grant',
  ): Disposition {
    const ownership = parseOwnership(event.bytes, this.context.ownership(encoding));
    const ofDatabase = ownership && 'object' in ownership && ownership.object.kind === 'database';
    if (ofDatabase) return { action: 'leave-out', reason: 'database' };
    return { action: 'leave-out', reason, ...(ownership ? { ownership } : {}) };
  }

  #isDatabase(head: StatementHead): boolean {
    const isDefinition = ['create', 'alter', 'drop', 'comment', 'security label'].includes(
      head.verb,
    );
    return isDefinition && head.kind === 'database';
  }
}

function isCleaning(head: StatementHead): boolean {
  if (head.verb === 'drop' || head.verb === 'alter') return true;
  return head.verb === 'create' && head.kind === 'view' && head.modifiers.includes('or replace');
}

/** `… OWNER TO role;` as the only action: lists of actions are left to the server to refuse. */
function changesOwnerAlone(reader: StatementReader): boolean {
  reader.rewind(0);
  for (let token = reader.next(); token; token = reader.next()) {
    if (token.type === 'symbol' && token.text === ',') return false;
    if (token.type === 'symbol' && token.text === '(') reader.skipGroup();
    if (reader.words('owner', 'to')) {
      reader.next();
      return reader.atEnd;
    }
  }
  return false;
}
