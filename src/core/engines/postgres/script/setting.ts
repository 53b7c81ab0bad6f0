import type { StatementReader } from './reader.ts';

export interface Setting {
  /** Lower case; `names` for SET NAMES, `all` for RESET ALL. */
  readonly name: string;
  /** Empty for RESET and DEFAULT. */
  readonly values: readonly string[];
}

/**
 * `SET [SESSION | LOCAL] name { = | TO } value [, …]`, `SET NAMES value`, `RESET name`. Undefined
 * for everything else: SET ROLE and SET SESSION AUTHORIZATION are no settings here.
 */
export function readSetting(reader: StatementReader): Setting | undefined {
  if (reader.words('reset')) {
    const name = reader.identifier();
    return name !== undefined && reader.atEnd
      ? { name: name.toLowerCase(), values: [] }
      : undefined;
  }
  if (!reader.words('set')) return undefined;
  if (reader.words('names')) return { name: 'names', values: values(reader) };
  if (!reader.words('session') && reader.words('local')) return undefined;
  let name = reader.identifier();
  while (name !== undefined && reader.symbol('.')) {
    const part = reader.identifier();
    name = part === undefined ? undefined : `${name}.${part}`;
  }
  if (name === undefined || !(reader.symbol('=') || reader.words('to'))) return undefined;
  return { name: name.toLowerCase(), values: values(reader) };
}

function values(reader: StatementReader): string[] {
  const found: string[] = [];
  for (let token = reader.next(); token; token = reader.next()) {
    if (token.type === 'symbol') continue;
    if (token.type === 'word' && token.text === 'default') continue;
    found.push(token.text);
  }
  return found;
}
