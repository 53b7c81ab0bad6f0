import { type FileHandle, open } from 'node:fs/promises';
import { DropbackError } from '../runtime/errors.ts';
import type { ArchiveFormat, Compression } from './format.ts';

/** What the first bytes of a file say that it is. */
export type Recognition =
  | { readonly kind: 'archive'; readonly format: ArchiveFormat; readonly what: string }
  | { readonly kind: 'compressed'; readonly compression: 'gzip' | 'zstd'; readonly what: string }
  | { readonly kind: 'encrypted'; readonly what: string }
  | { readonly kind: 'tar'; readonly what: string }
  | { readonly kind: 'empty'; readonly what: string }
  | Refused;

interface Refused {
  readonly kind: 'refused';
  readonly code: string;
  /** For messages: `a MySQL dump`. */
  readonly what: string;
  readonly hint: string;
}

/** Enough for every magic number, a tar header and the first lines of a script. */
export const HEAD_BYTES = 4096;

export async function readHead(path: string): Promise<Buffer> {
  await using file = await open(path, 'r');
  return await readAt(file, 0, HEAD_BYTES);
}

/** Reads up to `length` bytes; fewer only at the end of the file. */
export async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(buffer, filled, length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

/** Content decides: names are never looked at here. */
export function recognise(head: Buffer): Recognition {
  if (head.length === 0) return { kind: 'empty', what: 'an empty file' };
  return recogniseBinary(head) ?? recogniseText(head);
}

const starts = (head: Buffer, ...bytes: number[]) => bytes.every((byte, at) => head[at] === byte);
const startsWith = (head: Buffer, text: string) =>
  head.subarray(0, text.length).toString('latin1') === text;

function recogniseBinary(head: Buffer): Recognition | undefined {
  if (startsWith(head, 'PGDMP')) return recogniseCustom(head);
  if (startsWith(head, 'SQLite format 3\0')) {
    return { kind: 'archive', format: 'sqlite-file', what: 'a SQLite database file' };
  }
  if (starts(head, 0x1f, 0x8b)) return { kind: 'compressed', compression: 'gzip', what: 'gzip' };
  // Frames of zstd, and the skippable frames with which some compressors begin.
  const isSkippable =
    starts(head.subarray(1), 0x2a, 0x4d, 0x18) && ((head[0] ?? 0) & 0xf0) === 0x50;
  if (starts(head, 0x28, 0xb5, 0x2f, 0xfd) || isSkippable) {
    return { kind: 'compressed', compression: 'zstd', what: 'zstd' };
  }
  if (head.subarray(257, 262).toString('latin1') === 'ustar') {
    return { kind: 'tar', what: 'a tar archive' };
  }
  return recogniseForeignBinary(head);
}

/** The fifth byte after the version tells pg_dump's formats apart: 1 custom, 3 tar, 5 directory. */
function recogniseCustom(head: Buffer): Recognition {
  if (head[10] === 1) {
    return { kind: 'archive', format: 'postgres-custom', what: 'a pg_dump custom archive' };
  }
  if (head.length < 11) {
    return { kind: 'archive', format: 'postgres-custom', what: 'a pg_dump archive' };
  }
  return refused('drop/unsupported-format', "a table of contents of pg_dump's tar or directory", {
    hint: 'drop the whole directory-format dump as a tar, or make a custom archive (pg_dump -Fc).',
  });
}

function recogniseForeignBinary(head: Buffer): Recognition | undefined {
  const recompress = 'recompress it with gzip or zstd, or drop it uncompressed.';
  const unsupported = (what: string, hint = recompress) =>
    refused('drop/unsupported-format', what, { hint });
  if (startsWith(head, 'BZh')) return unsupported('a bzip2 file');
  if (starts(head, 0xfd, 0x37, 0x7a, 0x58, 0x5a, 0)) return unsupported('an xz file');
  if (starts(head, 0x50, 0x4b, 3, 4) || starts(head, 0x50, 0x4b, 5, 6)) {
    return unsupported('a zip archive', 'unpack it, and drop the dump that is inside.');
  }
  if (starts(head, 0x04, 0x22, 0x4d, 0x18)) return unsupported('an lz4 file');
  if (startsWith(head, '7z\xbc\xaf\x27\x1c')) return unsupported('a 7-Zip archive');
  if (startsWith(head, 'Rar!')) return unsupported('a RAR archive');
  if (startsWith(head, 'age-encryption.org/') || startsWith(head, '-----BEGIN AGE ENCRYPTED')) {
    return { kind: 'encrypted', what: 'a file encrypted with age' };
  }
  return recogniseWideText(head);
}

/** PowerShell's `pg_dump … > file` writes UTF-16, which no tool here reads. */
function recogniseWideText(head: Buffer): Refused | undefined {
  const marked = starts(head, 0xff, 0xfe) || starts(head, 0xfe, 0xff);
  const pairs = head.subarray(0, 64);
  const zeros = (odd: number) => pairs.filter((byte, at) => at % 2 === odd && byte === 0).length;
  const half = Math.floor(pairs.length / 2);
  // Not both: that is no text at all.
  const unmarked = half >= 4 && (zeros(0) === half) !== (zeros(1) === half);
  if (!marked && !unmarked) return undefined;
  return refused('drop/unsupported-encoding', 'text in UTF-16 or UTF-32', {
    hint: "PowerShell's > writes UTF-16: use pg_dump -f FILE instead, or iconv -t UTF-8.",
  });
}

function recogniseText(head: Buffer): Recognition {
  const text = head.toString('utf8').replace(/^\uFEFF/, '');
  if (head.includes(0)) return unknown('binary data of no known format');
  const beginning = text.trimStart();
  if (/^--\s*\n-- PostgreSQL database cluster dump/m.test(beginning)) {
    return refused('drop/unsupported-dumpall', 'a dump of a whole cluster (pg_dumpall)', {
      hint: 'make a dump of the one database: pg_dump -Fc -f app.dump DATABASE.',
    });
  }
  if (/^-- PostgreSQL database dump\s*$/m.test(beginning)) {
    return { kind: 'archive', format: 'postgres-plain', what: 'a plain pg_dump script' };
  }
  if (/^(PRAGMA foreign_keys=OFF;\s*)?BEGIN TRANSACTION;/.test(beginning)) {
    return { kind: 'archive', format: 'sqlite-plain', what: 'a script made by sqlite3 .dump' };
  }
  if (/MySQL dump|MariaDB dump|phpMyAdmin SQL Dump|^\/\*M!/.test(beginning)) {
    return refused('drop/wrong-engine', 'a MySQL or MariaDB dump', {
      hint: 'dropback restores PostgreSQL and SQLite; convert it first, for example with pgloader.',
    });
  }
  return unknown(beginning === '' ? 'blank text' : 'text that no known dump begins with');
}

const unknown = (what: string) =>
  refused('drop/unknown-content', what, {
    hint: 'accepted are pg_dump (plain, custom, or a tar of the directory format), SQLite files and sqlite3 .dump.',
  });

function refused(code: string, what: string, options: { hint: string }): Refused {
  return { kind: 'refused', code, what, hint: options.hint };
}

// ------------------------------------------------------------------------ what a name promises

/** What the extension of a dropped file says is inside. */
export interface Promised {
  /** The extension as written, lower case: `.sql.gz`. */
  readonly extension: string;
  readonly content: 'sql' | 'dump' | 'db' | 'tar';
  readonly compression: Compression;
  /** `.age`: what the rest of the extension says is inside, once decrypted. */
  readonly encrypted: boolean;
}

const CONTENT: Readonly<Record<string, Promised['content']>> = {
  sql: 'sql',
  dump: 'dump',
  db: 'db',
  sqlite: 'db',
  sqlite3: 'db',
  tar: 'tar',
};

/** Undefined for names that no dump has. */
export function promisedBy(name: string): Promised | undefined {
  const match = /\.(sql|dump|db|sqlite3?|tar)(\.gz|\.zst)?(\.age)?$/i.exec(name);
  const content = CONTENT[match?.[1]?.toLowerCase() ?? ''];
  if (!match || !content) return undefined;
  const suffix = match[2]?.toLowerCase();
  const compression = suffix === '.gz' ? 'gzip' : suffix === '.zst' ? 'zstd' : 'none';
  const encrypted = match[3] !== undefined;
  return { extension: match[0].toLowerCase(), content, compression, encrypted };
}

const FORMATS: Readonly<Record<Promised['content'], readonly ArchiveFormat[]>> = {
  sql: ['postgres-plain', 'sqlite-plain'],
  dump: ['postgres-custom'],
  db: ['sqlite-file'],
  tar: ['postgres-directory'],
};

/** Throws unless the file is encrypted where its name says so, and only there. */
export function requireEncryption(found: Recognition, promised: Promised): void {
  if (found.kind === 'empty') throw emptyDrop();
  if ((found.kind === 'encrypted') !== promised.encrypted) throw disagreement(found, promised);
}

/**
 * Throws unless the content, decrypted where it was encrypted, is what the name says; the message
 * names both.
 */
export function requireCompression(found: Recognition, promised: Promised): void {
  const compression = found.kind === 'compressed' ? found.compression : 'none';
  if (found.kind === 'empty') throw emptyDrop();
  if (compression === promised.compression) return;
  if (found.kind === 'refused' && promised.compression === 'none') return;
  throw disagreement(found, promised);
}

/** The format of (decompressed) content, once it is known to be the one that the name promises. */
export function requireFormat(found: Recognition, promised: Promised): ArchiveFormat | 'tar' {
  if (found.kind === 'empty') throw emptyDrop();
  if (found.kind === 'refused') {
    throw new DropbackError(found.code, `the file holds ${found.what}`, { hint: found.hint });
  }
  if (found.kind === 'compressed' || found.kind === 'encrypted') {
    throw disagreement(found, promised);
  }
  if (found.kind === 'tar') {
    if (promised.content === 'tar') return 'tar';
    throw disagreement(found, promised);
  }
  if (FORMATS[promised.content].includes(found.format)) return found.format;
  throw disagreement(found, promised);
}

function emptyDrop(): DropbackError {
  return new DropbackError('drop/empty', 'the file is empty', {
    hint: 'the program that wrote it probably failed: look at its messages, and dump again.',
  });
}

function disagreement(found: Recognition, promised: Promised): DropbackError {
  const { extension } = promised;
  return new DropbackError(
    'drop/wrong-extension',
    `the name ends in ${extension}, but the content is ${found.what}`,
    {
      hint: 'give it the extension of what it holds: .sql, .dump, .db or .tar, then .gz or .zst if compressed, then .age if encrypted.',
      facts: { extension, content: found.what },
    },
  );
}
