import type { QualifiedName, StatementReader } from './reader.ts';

/** What kinds of object DDL names; longer spellings first. */
const KINDS = [
  'text search configuration',
  'text search dictionary',
  'text search template',
  'text search parser',
  'foreign data wrapper',
  'default privileges',
  'materialized view',
  'access method',
  'event trigger',
  'foreign table',
  'large object',
  'operator class',
  'operator family',
  'user mapping',
  'aggregate',
  'cast',
  'collation',
  'column',
  'constraint',
  'conversion',
  'database',
  'domain',
  'extension',
  'function',
  'group',
  'index',
  'language',
  'operator',
  'policy',
  'procedure',
  'publication',
  'role',
  'routine',
  'rule',
  'schema',
  'sequence',
  'server',
  'statistics',
  'subscription',
  'table',
  'tablespace',
  'transform',
  'trigger',
  'type',
  'user',
  'view',
] as const;

export type HeadKind = (typeof KINDS)[number];

/** Words that may stand between CREATE and the kind. */
const MODIFIERS = [
  'or replace',
  'global',
  'local',
  'temporary',
  'temp',
  'unlogged',
  'unique',
  'recursive',
  'trusted',
  'procedural',
  'default',
  'constraint',
] as const;

export type Verb =
  | 'create'
  | 'alter'
  | 'drop'
  | 'comment'
  | 'security label'
  | 'insert'
  | 'grant'
  | 'revoke'
  | 'set'
  | 'reset'
  | 'select'
  | 'transaction'
  | 'other';

/** The beginning of a statement, read tolerantly; the reader is left behind it. */
export interface StatementHead {
  readonly verb: Verb;
  readonly kind?: HeadKind;
  /** First words of CREATE that change what it creates. */
  readonly modifiers: readonly string[];
  readonly name?: QualifiedName;
}

const PLAIN_VERBS = ['grant', 'revoke', 'set', 'reset', 'select'] as const;

const TRANSACTION = [
  'begin',
  'start',
  'commit',
  'end',
  'rollback',
  'abort',
  'savepoint',
  'release',
  'prepare transaction',
] as const;

export function readHead(reader: StatementReader): StatementHead {
  const modifiers: string[] = [];
  if (reader.words('insert', 'into')) return withName('insert', reader);
  if (reader.words('create')) {
    for (let found = modifier(reader); found; found = modifier(reader)) modifiers.push(found);
    return ofKind('create', reader, modifiers);
  }
  if (reader.words('alter')) {
    reader.words('procedural');
    return ofKind('alter', reader, modifiers);
  }
  if (reader.words('drop')) return ofKind('drop', reader, modifiers);
  if (reader.words('comment', 'on')) {
    reader.words('procedural');
    return ofKind('comment', reader, modifiers);
  }
  if (reader.words('security', 'label')) {
    if (reader.words('for')) reader.next();
    reader.words('on');
    return ofKind('security label', reader, modifiers);
  }
  if (reader.oneOf(TRANSACTION) !== undefined) return { verb: 'transaction', modifiers };
  return { verb: reader.oneOf(PLAIN_VERBS) ?? 'other', modifiers };
}

function modifier(reader: StatementReader): string | undefined {
  // CREATE CONSTRAINT TRIGGER, CREATE DEFAULT CONVERSION: the kind follows.
  return reader.oneOf(MODIFIERS);
}

function ofKind(verb: Verb, reader: StatementReader, modifiers: string[]): StatementHead {
  const kind = reader.oneOf(KINDS);
  if (kind === undefined) return { verb, modifiers };
  reader.words('concurrently');
  if (!reader.words('if', 'not', 'exists')) reader.words('if', 'exists');
  reader.words('only');
  const name = reader.qualifiedName();
  return { verb, kind, modifiers, ...(name ? { name } : {}) };
}

function withName(verb: Verb, reader: StatementReader): StatementHead {
  const name = reader.qualifiedName();
  return { verb, modifiers: [], ...(name ? { name } : {}) };
}
