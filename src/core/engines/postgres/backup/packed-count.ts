import { type FileHandle, open } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { readDirectoryTocSync } from '../../../archive/directory-archive.ts';
import { listTar, type TarMember } from '../../../archive/tar.ts';
import { BEHIND_ROWS, encodingOf, TableRows } from './archive-tables.ts';
import { CopyRows } from './read-back-rows.ts';
import type { ArchiveCount } from './read-back-scanner.ts';

const CHUNK_BYTES = 512 * 1024;
const LEAST_CHUNK_BYTES = 16 * 1024;
/** Rows of small tables become so many times larger, roughly. */
const USUAL_RATIO = 8;
const MOST_AT_ONCE = 4;

export interface PackedCount extends ArchiveCount {
  /** Of all files in the tar. */
  readonly contentBytes: number;
  /** Where its table of contents lies in the tar. */
  readonly toc: { readonly start: number; readonly end: number };
}

/**
 * Reads the tar of a directory-format dump whole, where it lies: every file is decompressed to its
 * end, as many at once as there are processors, and has to be one that the table of contents names.
 * Errors: as `listTar`; NotUnderstood; whatever zlib says of damage; SyntaxError for the rest.
 */
export async function countPacked(path: string, signal: AbortSignal): Promise<PackedCount> {
  const { members, folder, totalBytes } = await listTar(path, signal);
  await using tar = await open(path, 'r');
  const prefix = folder === '' ? '' : `${folder}/`;
  const files = new Map(members.map((member) => [member.name.slice(prefix.length), member]));
  const toc = placeOf(take(files, 'toc.dat'));
  const entries = readDirectoryTocSync(tar.fd, toc);
  const tables = new TableRows(encodingOf(entries));
  const jobs: CountingJob[] = [];
  let largeObjects = 0;
  for (const entry of entries) {
    if (entry.file === undefined) continue;
    if (entry.description === 'TABLE DATA') {
      const member = takeCompressed(files, entry.file);
      const table = tables.of(entry);
      jobs.push({
        member,
        counted: (rows) => {
          table.rows += rows;
        },
      });
    } else if (entry.description === 'BLOBS') {
      const list = await readList(tar, take(files, entry.file));
      for (const file of list) jobs.push({ member: takeCompressed(files, file) });
      largeObjects += list.length;
    } else throw new SyntaxError(`data of an unknown kind: ${entry.description}`);
  }
  const [unnamed] = files.keys();
  if (unnamed !== undefined) throw new SyntaxError(`no entry names the file ${unnamed}`);
  await runJobs(tar, jobs, signal);
  return { tables: tables.list(), largeObjects, contentBytes: totalBytes, toc };
}

interface CountingJob {
  readonly member: TarMember;
  /** Rows of a table; a large object has none. */
  readonly counted?: (rows: number) => void;
}

/** The largest first, so that the last to end is a small one. */
async function runJobs(
  tar: FileHandle,
  jobs: readonly CountingJob[],
  signal: AbortSignal,
): Promise<void> {
  const queue = [...jobs].sort((one, other) => other.member.bytes - one.member.bytes).values();
  const work = async () => {
    // All take from the same iterator.
    for (const { member, counted } of queue) {
      signal.throwIfAborted();
      await countMember(tar, member, counted);
    }
  };
  const many = Math.min(MOST_AT_ONCE, availableParallelism());
  await Promise.all(Array.from({ length: many }, work));
}

async function countMember(
  tar: FileHandle,
  member: TarMember,
  counted: CountingJob['counted'],
): Promise<void> {
  const rows = new CopyRows();
  let behind = '';
  const consume = async (content: AsyncIterable<Buffer>) => {
    for await (const chunk of content) {
      if (!counted) continue;
      const at = rows.isDone ? 0 : rows.push(chunk, 0);
      if (rows.isDone) behind += chunk.toString('latin1', at, at + BEHIND_ROWS.length + 1);
    }
  };
  await readWhole(tar, member, consume);
  if (!counted) return;
  if (!rows.isDone || behind !== BEHIND_ROWS) {
    throw new SyntaxError(`the rows in ${member.name} don't end as pg_dump ends them`);
  }
  counted(rows.count);
}

async function readWhole(
  tar: FileHandle,
  member: TarMember,
  consume: (content: AsyncIterable<Buffer>) => Promise<void>,
): Promise<void> {
  // What pg_dump 18 makes of nothing, an empty large object: no frame at all.
  if (member.bytes === 0 && member.name.endsWith('.zst')) return;
  const source = slices(tar, member);
  const options = {
    chunkSize: clamp(USUAL_RATIO * member.bytes, LEAST_CHUNK_BYTES, CHUNK_BYTES),
    readableHighWaterMark: 2 * CHUNK_BYTES,
    // The next slice is asked for when the last one isn't needed any more: they share their memory.
    writableHighWaterMark: 1,
  };
  const freed = (content: AsyncIterable<Buffer>) => consume(freedBehind(content));
  if (member.name.endsWith('.zst')) await pipeline(source, createZstdDecompress(options), freed);
  else if (member.name.endsWith('.gz')) await pipeline(source, createGunzip(options), freed);
  else if (member.name.endsWith('.dat')) await consume(source);
  else throw new SyntaxError(`a compression that isn't known: ${member.name}`);
}

/**
 * Each chunk's memory is given back as soon as the next one is asked for. Left to the garbage collector,
 * which is called for every 64 MB outside its heap, it takes a fifth of the reading's processor time.
 */
async function* freedBehind(content: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for await (const chunk of content) {
    yield chunk;
    const { buffer, byteOffset, byteLength } = chunk;
    // Of one that isn't full zlib may go on to fill the rest; a small one shares its memory with others.
    const isFull = byteOffset + byteLength === buffer.byteLength;
    const isAlone = buffer.byteLength > Buffer.poolSize;
    if (isFull && isAlone && buffer instanceof ArrayBuffer) buffer.transfer(0);
  }
}

function clamp(value: number, least: number, most: number): number {
  return Math.max(least, Math.min(value, most));
}

/** In two buffers by turns: a slice is good until the next one is asked for. */
async function* slices(tar: FileHandle, member: TarMember): AsyncGenerator<Buffer> {
  const { start, end } = placeOf(member);
  const bytes = Math.min(CHUNK_BYTES, end - start);
  const buffers = [Buffer.allocUnsafe(bytes), Buffer.allocUnsafe(bytes)] as const;
  const readAt = async (at: number, buffer: Buffer) => {
    const { bytesRead } = await tar.read(buffer, 0, Math.min(bytes, end - at), at);
    if (bytesRead === 0) throw new SyntaxError(`${member.name} ends too early`);
    return buffer.subarray(0, bytesRead);
  };
  let [used, spare] = buffers;
  let slice = start < end ? await readAt(start, used) : undefined;
  for (let at = start; slice; ) {
    at += slice.length;
    // Read ahead while the other one is worked on. Not awaited yet, its failure waits for that.
    const next = at < end ? readAt(at, spare) : undefined;
    next?.catch(() => {});
    yield slice;
    slice = await next;
    [used, spare] = [spare, used];
  }
}

/** Lines of `16400 blob_16400.dat`; pg_dump never compresses them. */
async function readList(tar: FileHandle, member: TarMember): Promise<string[]> {
  let text = '';
  for await (const slice of slices(tar, member)) text += slice.toString('latin1');
  const lines = text.split('\n').slice(0, -1);
  return lines.map((line) => {
    const file = /^\d+ (blob_\d+\.dat)$/.exec(line)?.[1];
    if (file === undefined) throw new SyntaxError(`not a line of ${member.name}: ${line}`);
    return file;
  });
}

function takeCompressed(files: Map<string, TarMember>, name: string): TarMember {
  const endings = ['', '.zst', '.gz'];
  const found = endings.find((ending) => files.has(name + ending)) ?? '';
  return take(files, name + found);
}

function take(files: Map<string, TarMember>, name: string): TarMember {
  const member = files.get(name);
  if (!member) throw new SyntaxError(`the file ${name} is missing`);
  files.delete(name);
  return member;
}

function placeOf({ position, bytes }: TarMember): { start: number; end: number } {
  return { start: position, end: position + bytes };
}
