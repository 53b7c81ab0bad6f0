import {
  type Cursor,
  NotUnderstood,
  readByte,
  readInt,
  readName,
  skipText,
  type Walk,
} from './archive-cursor.ts';

/** A directory says that it is a tar: their tables of contents are the same. */
export type ArchiveForm = 'custom' | 'directory';

export interface ArchiveHeader {
  /** Of the format: 116 is 1.16. */
  readonly version: number;
  readonly intBytes: number;
  readonly offsetBytes: number;
}

/** An entry of the table of contents; names are in the dump's own encoding, kept as latin1. */
export interface TocEntry {
  readonly dumpId: number;
  /** Whether it has data of its own, which may be none. */
  readonly hasDumper: boolean;
  /** `TABLE DATA`, `ENCODING`. */
  readonly description: string | undefined;
  readonly schema: string | undefined;
  readonly name: string | undefined;
  /** Where it is short. */
  readonly definition: string | undefined;
}

const FORMS: Readonly<Record<ArchiveForm, number>> = { custom: 1, directory: 3 };
const MOST_ENTRIES = 10_000_000;

/**
 * What a pg_dump archive begins with. Formats 1.12 to 1.16. Throws NotUnderstood, EndsEarly.
 * Layout: PostgreSQL's src/bin/pg_dump/pg_backup_archiver.c (ReadHead).
 */
export function* readHeader(cursor: Cursor, form: ArchiveForm): Walk<ArchiveHeader> {
  for (const byte of Buffer.from('PGDMP')) {
    if ((yield* readByte(cursor)) !== byte) throw new NotUnderstood();
  }
  const version = (yield* readByte(cursor)) * 100 + (yield* readByte(cursor));
  cursor.skip(1);
  const intBytes = yield* readByte(cursor);
  const offsetBytes = yield* readByte(cursor);
  const format = yield* readByte(cursor);
  const isKnown = version >= 112 && version <= 116 && format === FORMS[form];
  if (!isKnown || intBytes < 1 || intBytes > 6) throw new NotUnderstood();
  cursor.intBytes = intBytes;
  if (version >= 115) cursor.skip(1);
  else yield* readInt(cursor);
  for (let field = 0; field < 7; field++) yield* readInt(cursor);
  for (let name = 0; name < 3; name++) yield* skipText(cursor);
  return { version, intBytes, offsetBytes };
}

/**
 * The table of contents, which follows. `extra` reads what the form keeps of each entry besides
 * (pg_backup_custom.c and pg_backup_directory.c, _ReadExtraToc). Layout: pg_backup_archiver.c
 * (ReadToc).
 */
export function* readToc<Extra>(
  cursor: Cursor,
  { version }: ArchiveHeader,
  extra: (cursor: Cursor) => Walk<Extra>,
  visit: (entry: TocEntry & Extra) => void,
): Walk<void> {
  const entries = yield* readInt(cursor);
  if (entries < 0 || entries > MOST_ENTRIES) throw new NotUnderstood();
  for (let entry = 0; entry < entries; entry++) {
    const dumpId = yield* readInt(cursor);
    const hasDumper = (yield* readInt(cursor)) !== 0;
    for (let oid = 0; oid < 2; oid++) yield* skipText(cursor);
    const name = yield* readName(cursor);
    const description = yield* readName(cursor);
    yield* readInt(cursor);
    const definition = yield* readName(cursor);
    for (let statement = 0; statement < 2; statement++) yield* skipText(cursor);
    const schema = yield* readName(cursor);
    // Tablespace, and since 1.14 the access method.
    for (let text = 0; text < (version >= 114 ? 2 : 1); text++) yield* skipText(cursor);
    if (version >= 116) yield* readInt(cursor);
    for (let text = 0; text < 2; text++) yield* skipText(cursor);
    while (yield* skipText(cursor));
    const more = yield* extra(cursor);
    visit({ dumpId, hasDumper, description, schema, name, definition, ...more });
  }
}
