import { ident } from '../quoting.ts';
import type { StatementReader } from './reader.ts';
import { readSignature, renderSignature, type Signature } from './routine-arguments.ts';
import { readTypeName, renderTypeName, type TypeName } from './type-name.ts';

/** Kinds whose names stand in a schema. */
const IN_SCHEMA = [
  'table',
  'view',
  'materialized view',
  'sequence',
  'foreign table',
  'type',
  'domain',
  'collation',
  'conversion',
  'statistics',
  'text search configuration',
  'text search dictionary',
] as const;

const ROUTINES = ['function', 'procedure', 'aggregate', 'routine'] as const;
const OPERATOR_SETS = ['operator class', 'operator family'] as const;

/** Kinds with one plain name. */
const PLAIN = [
  'schema',
  'database',
  'procedural language',
  'language',
  'foreign data wrapper',
  'foreign server',
  'server',
  'publication',
  'subscription',
  'event trigger',
  'tablespace',
] as const;

/** An object, as far as it takes to name it in SQL again. Names are decoded, never quoted. */
export type ObjectReference =
  | { readonly kind: (typeof IN_SCHEMA)[number]; readonly schema: string; readonly name: string }
  | {
      readonly kind: (typeof ROUTINES)[number];
      readonly schema: string;
      readonly name: string;
      readonly signature: Signature;
    }
  | {
      readonly kind: 'operator';
      readonly schema: string;
      readonly symbol: string;
      readonly left: TypeName | undefined;
      readonly right: TypeName | undefined;
    }
  | {
      readonly kind: (typeof OPERATOR_SETS)[number];
      readonly schema: string;
      readonly name: string;
      readonly method: string;
    }
  | { readonly kind: (typeof PLAIN)[number]; readonly name: string }
  | { readonly kind: 'parameter'; readonly name: string }
  | { readonly kind: 'large object'; readonly oid: string };

export type ObjectKind = ObjectReference['kind'];

/** Longer spellings first: `foreign table` is no `table`. */
const KINDS: readonly ObjectKind[] = (
  [
    ...IN_SCHEMA,
    ...ROUTINES,
    ...OPERATOR_SETS,
    ...PLAIN,
    'operator',
    'large object',
    'parameter',
  ] as ObjectKind[]
).sort((a, b) => b.split(' ').length - a.split(' ').length);

const OPERATOR_SYMBOL = /^[~!@#^&|`?+\-*/%<>=]{1,63}$/;
const PARAMETER = /^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*$/;

/**
 * `<kind> <object>`. `defaultSchema` is where unqualified names lie: dumps of pg_dump before 10.3
 * set a search_path instead of qualifying. Undefined where anything isn't exactly as expected.
 */
export function readObject(
  reader: StatementReader,
  defaultSchema: string | undefined,
): ObjectReference | undefined {
  const kind = reader.oneOf(KINDS);
  if (kind === undefined) return undefined;
  if (kind === 'table') reader.words('only');
  if (isOf(PLAIN, kind)) return readPlain(reader, kind);
  if (kind === 'parameter') return readParameter(reader);
  if (kind === 'large object') return readLargeObject(reader);
  if (kind === 'operator') return readOperator(reader, defaultSchema);
  const found = reader.qualifiedName();
  const schema = found?.schema ?? defaultSchema;
  if (!found || schema === undefined) return undefined;
  const { name } = found;
  if (isOf(ROUTINES, kind)) {
    const signature = readSignature(reader);
    return signature && { kind, schema, name, signature };
  }
  if (isOf(OPERATOR_SETS, kind)) {
    const method = reader.words('using') ? reader.identifier() : undefined;
    return method === undefined ? undefined : { kind, schema, name, method };
  }
  return { kind, schema, name };
}

/** The same in SQL, rebuilt from the values alone. */
export function renderObject(object: ObjectReference): string {
  const kind = object.kind.toUpperCase();
  if ('oid' in object) return `${kind} ${object.oid}`;
  if (object.kind === 'parameter') {
    return `${kind} ${object.name.split('.').map(ident).join('.')}`;
  }
  if (!('schema' in object)) return `${kind} ${ident(object.name)}`;
  const schema = ident(object.schema);
  if (object.kind === 'operator') {
    const side = (type: TypeName | undefined) => (type ? renderTypeName(type) : 'NONE');
    return `${kind} ${schema}.${object.symbol} (${side(object.left)}, ${side(object.right)})`;
  }
  const name = `${schema}.${ident(object.name)}`;
  if ('signature' in object) return `${kind} ${name}${renderSignature(object.signature)}`;
  if ('method' in object) return `${kind} ${name} USING ${ident(object.method)}`;
  return `${kind} ${name}`;
}

function readPlain(
  reader: StatementReader,
  kind: (typeof PLAIN)[number],
): ObjectReference | undefined {
  const name = reader.identifier();
  return name === undefined ? undefined : { kind, name };
}

function readParameter(reader: StatementReader): ObjectReference | undefined {
  const parts: string[] = [];
  do {
    const part = reader.identifier();
    if (part === undefined) return undefined;
    parts.push(part);
  } while (reader.symbol('.'));
  const name = parts.join('.');
  return PARAMETER.test(name) ? { kind: 'parameter', name } : undefined;
}

function readLargeObject(reader: StatementReader): ObjectReference | undefined {
  const token = reader.next();
  if (token?.type !== 'number' || !/^[1-9][0-9]{0,9}$/.test(token.text)) return undefined;
  return Number(token.text) < 2 ** 32 ? { kind: 'large object', oid: token.text } : undefined;
}

function readOperator(
  reader: StatementReader,
  defaultSchema: string | undefined,
): ObjectReference | undefined {
  const start = reader.position;
  let schema = reader.identifier();
  if (schema !== undefined && !reader.symbol('.')) return undefined;
  if (schema === undefined) {
    reader.rewind(start);
    schema = defaultSchema;
  }
  const symbol = reader.next();
  if (schema === undefined || symbol?.type !== 'symbol') return undefined;
  if (!OPERATOR_SYMBOL.test(symbol.text) || /--|\/\*/.test(symbol.text)) return undefined;
  if (!reader.symbol('(')) return undefined;
  const left = readSide(reader);
  if (left === 'wrong' || !reader.symbol(',')) return undefined;
  const right = readSide(reader);
  if (right === 'wrong' || !reader.symbol(')')) return undefined;
  return { kind: 'operator', schema, symbol: symbol.text, left, right };
}

function readSide(reader: StatementReader): TypeName | undefined | 'wrong' {
  if (reader.words('none')) return undefined;
  const type = readTypeName(reader);
  return type && Number.isFinite(type.dimensions) ? type : 'wrong';
}

function isOf<T extends string>(list: readonly T[], kind: string): kind is T {
  return (list as readonly string[]).includes(kind);
}
