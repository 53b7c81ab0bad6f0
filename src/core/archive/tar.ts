import { type FileHandle, open } from 'node:fs/promises';
import { DropbackError } from '../runtime/errors.ts';
import { readAt } from './detect.ts';

/** A regular file in a tar of a directory-format dump. */
export interface TarMember {
  /** As written in the archive: `toc.dat`, `app/3456.dat.gz`. */
  readonly name: string;
  readonly bytes: number;
  /** Of its first byte in the tar. */
  readonly position: number;
}

export interface TarListing {
  /** The one folder that holds everything, or the empty string. */
  readonly folder: string;
  readonly members: readonly TarMember[];
  readonly totalBytes: number;
}

const BLOCK = 512;
export const MOST_MEMBERS = 1_000_000;

/** The files that pg_dump -Fd writes; nothing else may be in the tar. */
const DUMP_FILE =
  /^(toc\.dat|blobs(_\d+)?\.toc(\.gz|\.zst|\.lz4)?|(blob_)?\d+\.dat(\.gz|\.zst|\.lz4)?)$/;

/** Extended headers that change nothing about what is extracted. */
const HARMLESS_KEYS = /^(mtime|atime|ctime|uid|gid|uname|gname|comment|(LIBARCHIVE|SCHILY)\..*)$/;

/**
 * Reads every header of a tar before anything is extracted. Only regular files and folders under
 * the names that pg_dump gives may be in it: no links, devices, absolute names or `..`.
 * Errors: `drop/unsafe-tar`, `drop/tar-format`, `drop/truncated`, `drop/corrupt`, `drop/not-a-dump-directory`.
 */
export async function listTar(path: string, signal: AbortSignal): Promise<TarListing> {
  await using file = await open(path, 'r');
  const { size: fileBytes } = await file.stat();
  const members: TarMember[] = [];
  const folders = new Set<string>();
  let position = 0;
  for (;;) {
    signal.throwIfAborted();
    const header = await readAt(file, position, BLOCK);
    if (header.length < BLOCK) throw truncated(position);
    if (header.every((byte) => byte === 0)) break;
    const entry = parseHeader(header, position);
    const dataBytes = Math.ceil(entry.bytes / BLOCK) * BLOCK;
    if (position + BLOCK + entry.bytes > fileBytes) throw truncated(position);
    if (entry.type === 'extended') await requireHarmless(file, position + BLOCK, entry.bytes);
    if (entry.type === 'folder') requirePlainFolder(entry.name, folders);
    if (entry.type === 'file') {
      const name = requireDumpFile(entry, folders);
      members.push({ name, bytes: entry.bytes, position: position + BLOCK });
    }
    if (members.length > MOST_MEMBERS) throw unsafe(`more than ${MOST_MEMBERS} members`);
    position += BLOCK + dataBytes;
  }
  return requireOneDump(members, folders);
}

interface Header {
  readonly name: string;
  readonly bytes: number;
  readonly type: 'file' | 'folder' | 'extended';
}

function parseHeader(header: Buffer, position: number): Header {
  let sum = 0;
  for (const [at, byte] of header.entries()) sum += at >= 148 && at < 156 ? 32 : byte;
  if (sum !== octal(header.subarray(148, 156))) {
    throw new DropbackError('drop/corrupt', `the tar header at byte ${position} is damaged`, {
      hint: 'the file was damaged on its way: copy it again.',
    });
  }
  const prefix =
    header.subarray(257, 263).toString('latin1') === 'ustar\0' ? text(header, 345) : '';
  const short = text(header, 0, 100);
  const name = prefix === '' ? short : `${prefix}/${short}`;
  return { name, bytes: sizeOf(header), type: typeOf(header[156] ?? 0, name) };
}

function typeOf(flag: number, name: string): Header['type'] {
  const letter = String.fromCharCode(flag);
  if (letter === '0' || letter === '\0') return 'file';
  if (letter === '5') return 'folder';
  if (letter === 'x' || letter === 'g') return 'extended';
  const kinds: Readonly<Record<string, string>> = {
    '1': 'a hard link',
    '2': 'a symbolic link',
    '3': 'a device',
    '4': 'a device',
    '6': 'a FIFO',
    S: 'a sparse file',
    L: 'a name longer than pg_dump writes',
  };
  throw unsafe(`${kinds[letter] ?? 'an entry of an unknown kind'}, ${JSON.stringify(name)}`);
}

function text(header: Buffer, start: number, length = 155): string {
  const field = header.subarray(start, start + length);
  const end = field.indexOf(0);
  return field.subarray(0, end === -1 ? length : end).toString('latin1');
}

function octal(field: Buffer): number {
  const digits = field
    .toString('latin1')
    .replace(/[\0 ]+$/, '')
    .trimStart();
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN;
}

/** Octal, or GNU's base 256 for files of 8 GiB and more. */
function sizeOf(header: Buffer): number {
  const field = header.subarray(124, 136);
  const size = field[0] === 0x80 ? Number(field.readBigUInt64BE(4)) : octal(field);
  if (!Number.isSafeInteger(size) || size < 0) throw unsafe('a size that makes no sense');
  return size;
}

async function requireHarmless(file: FileHandle, position: number, bytes: number): Promise<void> {
  if (bytes > 64 * 1024) throw unsafe('an extended header of unusual size');
  let rest = await readAt(file, position, bytes);
  while (rest.length > 0) {
    const match = /^(\d{1,6}) ([^=\n]+)=/.exec(rest.subarray(0, 300).toString('latin1'));
    const length = Number(match?.[1] ?? 0);
    const key = match?.[2] ?? '';
    if (length === 0 || length > rest.length) throw unsafe('an extended header that is damaged');
    if (!HARMLESS_KEYS.test(key)) throw unsafe(`the extended header ${JSON.stringify(key)}`);
    rest = rest.subarray(length);
  }
}

function requirePlainFolder(name: string, folders: Set<string>): void {
  const plain = name.replace(/^\.\//, '').replace(/\/+$/, '');
  if (plain === '' || plain === '.') return;
  requireFolderName(plain);
  folders.add(plain);
}

function requireFolderName(name: string): void {
  const isPlain = !name.includes('/') && name !== '..' && name !== '.' && !name.startsWith('-');
  if (!isPlain) throw unsafe(`the folder ${JSON.stringify(name)}`);
}

function requireDumpFile(entry: Header, folders: Set<string>): string {
  const name = entry.name.replace(/^\.\//, '');
  const slash = name.indexOf('/');
  const folder = slash === -1 ? '' : name.slice(0, slash);
  const base = name.slice(slash + 1);
  if (name === 'restore.sql') throw otherFormat();
  if (folder !== '') requireFolderName(folder);
  if (slash === 0 || !DUMP_FILE.test(base)) throw unsafe(`the file ${JSON.stringify(entry.name)}`);
  folders.add(folder);
  return name;
}

function requireOneDump(members: readonly TarMember[], folders: Set<string>): TarListing {
  const used = [...folders].filter((folder) =>
    members.some(({ name }) =>
      folder === '' ? !name.includes('/') : name.startsWith(`${folder}/`),
    ),
  );
  const [folder = ''] = used;
  const toc = folder === '' ? 'toc.dat' : `${folder}/toc.dat`;
  const names = new Set(members.map(({ name }) => name));
  if (names.size !== members.length) throw unsafe('the same file twice');
  if (used.length > 1) throw unsafe('files in more than one folder');
  if (!names.has(toc)) {
    throw new DropbackError('drop/not-a-dump-directory', 'the tar holds no toc.dat', {
      hint: 'make it from a dump in the directory format: pg_dump -Fd -f app DB && tar -cf app.tar app.',
    });
  }
  return { folder, members, totalBytes: members.reduce((sum, { bytes }) => sum + bytes, 0) };
}

function truncated(position: number): DropbackError {
  return new DropbackError('drop/truncated', `the tar ends too early, after byte ${position}`, {
    hint: 'the file was not transferred whole, or its writer was interrupted: copy it again.',
  });
}

/** pg_dump -Ft adds a script to every archive. */
function otherFormat(): DropbackError {
  return new DropbackError(
    'drop/tar-format',
    'the file is in the tar format of pg_dump (-Ft), not a tar of a directory',
    {
      hint: 'dump with pg_dump -Fc instead, or make a script of it: pg_restore -f app.sql app.tar.',
    },
  );
}

function unsafe(what: string): DropbackError {
  return new DropbackError('drop/unsafe-tar', `the tar holds ${what}`, {
    hint: 'only the files that pg_dump -Fd writes may be in it, all in one folder.',
  });
}
