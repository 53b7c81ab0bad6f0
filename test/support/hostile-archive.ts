import { writeFileSync } from 'node:fs';

/** An entry of a table of contents, as far as anybody wants it to be strange. */
export interface HostileEntry {
  readonly tag?: string | Buffer;
  readonly type?: string;
  readonly definition?: string;
  readonly owner?: string;
  /** Told instead of the tag's own length. */
  readonly tagLength?: number;
}

/**
 * Writes an archive in pg_dump's custom format (1.14), without data, that holds what no pg_dump
 * would write. `count` is told instead of the number of entries.
 */
export function writeHostileArchive(
  path: string,
  entries: Iterable<HostileEntry>,
  count?: number,
): void {
  const parts: Buffer[] = [];
  let dumpId = 0;
  for (const entry of entries) parts.push(encode(entry, ++dumpId));
  writeFileSync(path, Buffer.concat([header(), integer(count ?? dumpId), ...parts]));
}

function header(): Buffer {
  const form = Buffer.from([1, 14, 0, 4, 8, 1]);
  const time = [0, 0, 12, 22, 10, 126, 0].map(integer);
  const names = ['app', '15.1', '15.1'].map((name) => text(name));
  return Buffer.concat([Buffer.from('PGDMP'), form, integer(0), ...time, ...names]);
}

function encode(entry: HostileEntry, dumpId: number): Buffer {
  const { tag = `o${dumpId}`, type = 'COMMENT', definition = '', owner = 'app' } = entry;
  const tagText = text(tag);
  if (entry.tagLength !== undefined) integer(entry.tagLength).copy(tagText);
  return Buffer.concat([
    integer(dumpId),
    integer(0),
    text('0'),
    text('0'),
    tagText,
    text(type),
    // Before the data.
    integer(2),
    text(definition),
    text(''),
    integer(-1),
    text('public'),
    integer(-1),
    integer(-1),
    text(owner),
    text('false'),
    integer(-1),
    // No data, so no offset.
    Buffer.from([3]),
    Buffer.alloc(8),
  ]);
}

/** One byte of sign, then four of magnitude. */
function integer(value: number): Buffer {
  const bytes = Buffer.alloc(5);
  bytes[0] = value < 0 ? 1 : 0;
  bytes.writeUInt32LE(Math.abs(value), 1);
  return bytes;
}

function text(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value as string);
  return Buffer.concat([integer(bytes.length), bytes]);
}
