import { ident } from '../quoting.ts';
import type { StatementReader } from './reader.ts';

/**
 * A data type as pg_dump writes it in a signature. `builtin` is one of the spellings that SQL has
 * words for; everything else is a name.
 */
export type TypeName =
  | { readonly builtin: BuiltinType; readonly dimensions: number }
  | { readonly schema: string | undefined; readonly name: string; readonly dimensions: number };

/** What format_type() writes for types that have SQL names; longer ones first. */
const BUILTIN = [
  'bit varying',
  'character varying',
  'double precision',
  'timestamp without time zone',
  'timestamp with time zone',
  'time without time zone',
  'time with time zone',
  'bigint',
  'bit',
  'boolean',
  'character',
  'integer',
  'interval',
  'numeric',
  'real',
  'smallint',
  'timestamp',
  'time',
] as const;

export type BuiltinType = (typeof BUILTIN)[number];

/** Words that cannot be a type's unquoted name where pg_dump writes one. */
const NEVER_A_TYPE = new Set(['setof', 'variadic', 'in', 'out', 'inout', 'order', 'default']);

export function readTypeName(reader: StatementReader): TypeName | undefined {
  const builtin = reader.oneOf(BUILTIN);
  if (builtin !== undefined) return { builtin, dimensions: readDimensions(reader) };
  const first = reader.peek();
  if (first?.type === 'word' && NEVER_A_TYPE.has(first.text)) return undefined;
  const name = reader.qualifiedName();
  if (!name) return undefined;
  return { schema: name.schema, name: name.name, dimensions: readDimensions(reader) };
}

/** An unqualified name means what pg_catalog holds: the session that runs it is pinned to that. */
export function renderTypeName(type: TypeName): string {
  const brackets = '[]'.repeat(type.dimensions);
  if ('builtin' in type) return `${type.builtin}${brackets}`;
  return `${ident(type.schema ?? 'pg_catalog')}.${ident(type.name)}${brackets}`;
}

function readDimensions(reader: StatementReader): number {
  let dimensions = 0;
  while (reader.symbol('[')) {
    if (!reader.symbol(']')) return Number.NaN;
    dimensions++;
  }
  return dimensions;
}
