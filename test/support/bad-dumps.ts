import { execFile } from 'node:child_process';
import {
  linkSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { promisify } from 'node:util';
import { gzipSync, zstdCompressSync } from 'node:zlib';

const run = promisify(execFile);

/** Something that must be refused: `make` puts it at a path, `code` is what the report says. */
export interface BadDump {
  readonly what: string;
  /** Name in the drop folder. */
  readonly name: string;
  readonly make: (path: string) => void | Promise<void>;
  readonly code: RegExp;
}

export const written = (content: Buffer | string) => (path: string) => writeFileSync(path, content);
export const copyCut = (source: string, bytes: (size: number) => number) => (path: string) => {
  const content = readFileSync(source);
  writeFileSync(path, content);
  truncateSync(path, bytes(content.length));
};
/** One byte is another: at a fraction of the file, or where `at` says. */
export const flipped = (source: string, at: (content: Buffer) => number) => (path: string) => {
  const content = readFileSync(source);
  const place = at(content);
  content[place] = (content[place] ?? 0) ^ 0x55;
  writeFileSync(path, content);
};
export const middle = (content: Buffer) => Math.floor(content.length / 2);
export const half = (size: number) => Math.floor(size / 2);

/** What no engine takes, by the names of files that hold a good dump of the engine's own. */
export function badForBoth(good: { readonly script: string; readonly extension: string }) {
  const { script, extension } = good;
  const text = () => readFileSync(script);
  const cases: BadDump[] = [
    { what: 'an empty script', name: 'empty.sql', make: written(''), code: /^drop\/empty$/ },
    {
      what: 'an empty archive',
      name: `empty${extension}`,
      make: written(''),
      code: /^drop\/empty$/,
    },
    {
      what: 'no bytes named .gz',
      name: 'nothing.sql.gz',
      make: written(''),
      code: /^drop\/empty$/,
    },
    {
      what: 'gzip of nothing',
      name: 'nothing-inside.sql.gz',
      make: written(gzipSync('')),
      code: /^drop\/empty$/,
    },
    {
      what: 'zstd of nothing',
      name: `nothing-inside${extension}.zst`,
      make: written(zstdCompressSync('')),
      code: /^drop\/empty$/,
    },
    {
      what: 'only white space',
      name: 'blank.sql',
      make: written('\n  \n'),
      code: /^drop\/unknown-content$/,
    },
    {
      what: 'gzip that is cut',
      name: 'cut.sql.gz',
      make: (path) => {
        const packed = gzipSync(text());
        writeFileSync(path, packed.subarray(0, half(packed.length)));
      },
      code: /^drop\/truncated$/,
    },
    {
      what: 'zstd that is cut',
      name: 'cut.sql.zst',
      make: (path) => {
        const packed = zstdCompressSync(text());
        writeFileSync(path, packed.subarray(0, half(packed.length)));
      },
      code: /^drop\/truncated$/,
    },
    {
      what: 'gzip with a flipped byte',
      name: 'flipped.sql.gz',
      make: (path) => {
        const packed = gzipSync(text());
        packed[middle(packed)] = (packed[middle(packed)] ?? 0) ^ 0x55;
        writeFileSync(path, packed);
      },
      code: /^drop\/(corrupt|truncated|trailing-garbage)$/,
    },
    {
      what: 'gzip with something behind it',
      name: 'garbage.sql.gz',
      make: (path) => writeFileSync(path, Buffer.concat([gzipSync(text()), Buffer.from('more')])),
      code: /^drop\/trailing-garbage$/,
    },
    {
      what: 'a script that is named .gz',
      name: 'plain.sql.gz',
      make: (path) => writeFileSync(path, text()),
      code: /^drop\/wrong-extension$/,
    },
    {
      what: 'gzip that is named .zst',
      name: 'gzip.sql.zst',
      make: (path) => writeFileSync(path, gzipSync(text())),
      code: /^drop\/wrong-extension$/,
    },
    {
      what: 'gzip that is named .sql',
      name: 'gzip.sql',
      make: (path) => writeFileSync(path, gzipSync(text())),
      code: /^drop\/wrong-extension$/,
    },
    {
      what: 'a script that is named as an archive',
      name: `script${extension}`,
      make: (path) => writeFileSync(path, text()),
      code: /^drop\/wrong-extension$/,
    },
    {
      what: 'UTF-16, as PowerShell writes it',
      name: 'utf16.sql',
      make: (path) =>
        writeFileSync(path, Buffer.from(`\ufeff${text().toString('utf8')}`, 'utf16le')),
      code: /^drop\/unsupported-encoding$/,
    },
    {
      what: 'a dump of MySQL',
      name: 'mysql.sql',
      make: written('-- MySQL dump 10.13  Distrib 8.0.39\n--\n\nDROP TABLE IF EXISTS `a`;\n'),
      code: /^drop\/wrong-engine$/,
    },
    {
      what: 'random bytes',
      name: `noise${extension}`,
      make: written(Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * i * 31 + 7) % 251))),
      code: /^drop\/unknown-content$/,
    },
    {
      what: 'a symbolic link',
      name: 'link.sql',
      make: (path) => symlinkSync(script, path),
      code: /^drop\/not-a-file$/,
    },
    {
      what: 'a symbolic link to nothing',
      name: 'dangling.sql',
      make: (path) => symlinkSync('/nonexistent/secret', path),
      code: /^drop\/not-a-file$/,
    },
    {
      what: 'a hard link',
      name: 'hardlink.sql',
      make: (path) => linkSync(script, path),
      code: /^drop\/hard-link$/,
    },
    {
      what: 'a folder',
      name: `folder${extension}`,
      make: (path) => {
        mkdirSync(path);
        writeFileSync(`${path}/inside.sql`, 'SELECT 1;');
      },
      code: /^drop\/not-a-file$/,
    },
    {
      what: 'a FIFO',
      name: 'fifo.sql',
      make: async (path) => void (await run('mkfifo', [path])),
      code: /^drop\/not-a-file$/,
    },
  ];
  return cases;
}
