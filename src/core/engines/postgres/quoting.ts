/** Postgres keeps this many bytes of a name and drops the rest without an error. */
export const MOST_NAME_BYTES = 63;

/** A quoted identifier, whatever is in it. NUL cannot be in a name and is refused. */
export function ident(name: string): string {
  refuseNul(name);
  return `"${name.replaceAll('"', '""')}"`;
}

/** `"schema"."name"`. */
export function qualified(schema: string, name: string): string {
  return `${ident(schema)}.${ident(name)}`;
}

/** A string constant that means the same with standard_conforming_strings on and off. */
export function literal(text: string): string {
  refuseNul(text);
  const quoted = text.replaceAll("'", "''");
  return text.includes('\\') ? `E'${quoted.replaceAll('\\', '\\\\')}'` : `'${quoted}'`;
}

/** Whether the server would keep this name whole. Measured in UTF-8, the longest of its encodings. */
export function fitsName(name: string): boolean {
  return name !== '' && Buffer.byteLength(name, 'utf8') <= MOST_NAME_BYTES && !name.includes('\0');
}

/** One value of a libpq conninfo string: `dbname=${conninfoValue(name)}`. */
export function conninfoValue(value: string): string {
  refuseNul(value);
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

/** Settings as start-up options (PGOPTIONS, the protocol's `options`): `-c name=value …`. */
export function startupOptions(settings: Readonly<Record<string, string | number>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${String(value).replace(/[\\\s]/g, '\\$&')}`)
    .join(' ');
}

function refuseNul(text: string): void {
  if (text.includes('\0')) throw new RangeError('a NUL character cannot be part of a name or text');
}
