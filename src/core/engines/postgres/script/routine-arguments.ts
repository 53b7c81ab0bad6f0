import { ident } from '../quoting.ts';
import type { StatementReader } from './reader.ts';
import { readTypeName, renderTypeName, type TypeName } from './type-name.ts';

const MODES = ['in', 'out', 'inout', 'variadic'] as const;

export interface Argument {
  readonly mode?: (typeof MODES)[number];
  readonly name?: string;
  readonly type: TypeName;
}

/** The signature of a function, procedure or aggregate. */
export interface Signature {
  /** `*`: an aggregate of no arguments. */
  readonly star?: true;
  readonly direct: readonly Argument[];
  /** Behind ORDER BY, in ordered-set aggregates. */
  readonly ordered?: readonly Argument[];
}

/** `( [ * | [args] [ORDER BY args] ] )`, its parentheses included. */
export function readSignature(reader: StatementReader): Signature | undefined {
  if (!reader.symbol('(')) return undefined;
  if (reader.symbol('*')) return reader.symbol(')') ? { star: true, direct: [] } : undefined;
  if (reader.symbol(')')) return { direct: [] };
  const direct = reader.words('order', 'by') ? [] : readArguments(reader);
  if (!direct) return undefined;
  const isOrdered = direct.length === 0 || reader.words('order', 'by');
  const ordered = isOrdered ? readArguments(reader) : undefined;
  if ((isOrdered && !ordered) || !reader.symbol(')')) return undefined;
  return ordered ? { direct, ordered } : { direct };
}

export function renderSignature(signature: Signature): string {
  if (signature.star) return '(*)';
  const direct = signature.direct.map(renderArgument).join(', ');
  if (!signature.ordered) return `(${direct})`;
  const ordered = signature.ordered.map(renderArgument).join(', ');
  return direct === '' ? `(ORDER BY ${ordered})` : `(${direct} ORDER BY ${ordered})`;
}

function readArguments(reader: StatementReader): Argument[] | undefined {
  const found: Argument[] = [];
  do {
    const argument = readArgument(reader);
    if (!argument) return undefined;
    found.push(argument);
  } while (reader.symbol(','));
  return found;
}

/** A type alone where that fits, else a name and a type: `double precision` is no name. */
function readArgument(reader: StatementReader): Argument | undefined {
  const mode = reader.oneOf(MODES);
  const marked = mode === undefined ? {} : { mode };
  const start = reader.position;
  const alone = readTypeName(reader);
  if (alone && Number.isFinite(alone.dimensions) && atArgumentEnd(reader)) {
    return { ...marked, type: alone };
  }
  reader.rewind(start);
  const name = reader.identifier();
  const type = name === undefined ? undefined : readTypeName(reader);
  if (name === undefined || !type || !Number.isFinite(type.dimensions)) return undefined;
  return atArgumentEnd(reader) ? { ...marked, name, type } : undefined;
}

function atArgumentEnd(reader: StatementReader): boolean {
  const token = reader.peek();
  if (token?.type === 'word') return token.text === 'order';
  return token?.type === 'symbol' && (token.text === ',' || token.text === ')');
}

function renderArgument(argument: Argument): string {
  const mode = argument.mode === undefined ? '' : `${argument.mode.toUpperCase()} `;
  const name = argument.name === undefined ? '' : `${ident(argument.name)} `;
  return `${mode}${name}${renderTypeName(argument.type)}`;
}
