import { DropbackError } from '../../../runtime/errors.ts';

/** What the beginnings of other programs' files look like; the first that fits decides. */
const FOREIGN: readonly { looks: RegExp; code: string; what: string; hint: string }[] = [
  {
    looks: /^PGDMP/,
    code: 'drop/wrong-format',
    what: 'an archive of pg_dump (custom format), not a script',
    hint: 'drop it under a name that ends in .dump.',
  },
  {
    looks: /^SQLite format 3\0/,
    code: 'drop/wrong-engine',
    what: 'an SQLite database file',
    hint: 'drop it where an SQLite database is configured, under a name that ends in .db.',
  },
  {
    looks: /^\s*(?:PRAGMA foreign_keys=OFF;\s*)?BEGIN TRANSACTION;/,
    code: 'drop/wrong-engine',
    what: 'a script of sqlite3 .dump',
    hint: 'drop it where an SQLite database is configured.',
  },
  {
    looks: /^(?:\s|--.*\n)*(?:-- (?:MySQL|MariaDB) dump|-- phpMyAdmin SQL Dump|\/\*M!)/,
    code: 'drop/wrong-engine',
    what: 'a dump of MySQL or MariaDB',
    hint: 'only dumps of PostgreSQL can be restored here; convert it first, for example with pgloader.',
  },
  {
    looks: /^\s*(?:USE \[|\/\*{6} Object:|SET ANSI_NULLS ON\s+GO\b)/,
    code: 'drop/wrong-engine',
    what: 'a script of Microsoft SQL Server',
    hint: 'only dumps of PostgreSQL can be restored here.',
  },
  {
    looks: /^(?:\\restrict \w+\n|\s|--\s*\n)*-- PostgreSQL database cluster dump/,
    code: 'drop/unsupported-dumpall',
    what: 'a dump of a whole cluster (pg_dumpall)',
    hint: 'make a dump of the one database: pg_dump -Fc -f app.dump DATABASE.',
  },
];

/** Throws `drop/*` when the first bytes (a few kilobytes) are not those of a script for psql. */
export function refuseForeignScript(head: Buffer): void {
  if (head.length === 0) {
    throw new DropbackError('drop/empty', 'the script is empty', {
      hint: 'check the disk and the exit status where the dump was made, and make it again.',
    });
  }
  if (isWide(head)) {
    throw new DropbackError('drop/unsupported-encoding', 'the script is in UTF-16 or UTF-32', {
      hint: "PowerShell's > writes UTF-16: use pg_dump -f FILE instead, or iconv -t UTF-8.",
    });
  }
  const text = head
    .toString('latin1')
    .replace(/^\xef\xbb\xbf/, '')
    .replaceAll('\r\n', '\n');
  const found = FOREIGN.find(({ looks }) => looks.test(text));
  if (found) throw new DropbackError(found.code, `the file is ${found.what}`, { hint: found.hint });
}

function isWide(head: Buffer): boolean {
  const marked = (head[0] === 0xff && head[1] === 0xfe) || (head[0] === 0xfe && head[1] === 0xff);
  if (marked) return true;
  const sample = head.subarray(0, 64);
  const pairs = Math.floor(sample.length / 2);
  const zeros = (odd: number) => sample.filter((byte, at) => at % 2 === odd && byte === 0).length;
  return pairs >= 4 && (zeros(0) >= pairs - 1 || zeros(1) >= pairs - 1);
}
