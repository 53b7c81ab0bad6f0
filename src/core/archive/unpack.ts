import { type FileHandle, open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { requireIdentity } from '../encryption/age-decrypt.ts';
import type { AgeIdentity } from '../encryption/identity.ts';
import { DropbackError, throwIfAborted } from '../runtime/errors.ts';
import { contentLimits, writeContent } from './compression.ts';
import {
  type Promised,
  promisedBy,
  readHead,
  recognise,
  requireCompression,
  requireEncryption,
  requireFormat,
} from './detect.ts';
import type { ArchiveFormat } from './format.ts';
import type { Manifest } from './manifest.ts';
import { copyOwn } from './own-copy.ts';
import { type Packing, peekContent, unpackingOf } from './packed-content.ts';
import { unpackTar } from './unpack-tar.ts';
import type { UnpackedDrop } from './unpacked.ts';

export interface UnpackRequest {
  /** The claimed file, in a folder of our own. */
  readonly path: string;
  /** The name under which it was dropped: its extension is compared with the content. */
  readonly fileName: string;
  /** Folder of our own for what is unpacked; what an earlier attempt left there is replaced. */
  readonly workFolder: string;
  readonly sha256: string;
  readonly manifest?: Manifest;
  /** Whoever dropped it may still have it open. */
  readonly mayChange?: boolean;
  readonly force: boolean;
  /** RESTORE_AGE_IDENTITY: what opens an encrypted drop. */
  readonly identity?: AgeIdentity | undefined;
}

/**
 * Decrypts and decompresses a claimed drop whole, once, within limits, and recognises it by content.
 * A plain one is not copied, nor is a script for PostgreSQL, whose beginning alone is looked at here;
 * but a backup of our own that may change is: see `copyOwn`; of a tar what is extracted is such a copy.
 * Errors: `drop/*` (the reason and what to do), `disk/full`.
 */
export async function unpack(request: UnpackRequest, signal: AbortSignal): Promise<UnpackedDrop> {
  throwIfAborted(signal);
  const promised = promisedBy(request.fileName);
  if (!promised) throw unknownExtension(request.fileName);
  await removeUnpacked(request.workFolder);
  try {
    if (!isTrusted(request) || isBareTar(promised))
      return await unpackWhole(request, promised, signal);
    const path = ownPath(request.workFolder);
    await copyOwn(request.path, path, request.sha256, signal);
    const drop = await unpackWhole({ ...request, path }, promised, signal);
    if (drop.path !== path) await rm(path);
    return drop;
  } catch (error) {
    // It may be what has filled the volume that the journal is on.
    await removeUnpacked(request.workFolder);
    throw error;
  }
}

/** For its checksum, which what is read must therefore have. */
function isTrusted({ manifest, mayChange }: UnpackRequest): boolean {
  return manifest !== undefined && mayChange === true;
}

/** What is extracted of it is a copy already. */
function isBareTar({ content, compression, encrypted }: Promised): boolean {
  return content === 'tar' && compression === 'none' && !encrypted;
}

async function unpackWhole(
  request: UnpackRequest,
  promised: Promised,
  signal: AbortSignal,
): Promise<UnpackedDrop> {
  let content = request.path;
  await using source = await open(request.path, 'r');
  const packed = await howItIsPacked(source, request, promised, signal);
  if (packed) {
    const { size } = await source.stat();
    if (promised.content === 'sql') {
      const head = await peekContent({ path: request.path, packed }, signal);
      const script = requireFormat(recognise(head), promised);
      if (script === 'postgres-plain') {
        return { ...describe(request, script, request.path, size), packed };
      }
    }
    content = contentPath(request.workFolder);
    const limits = await contentLimits(request.workFolder, size);
    await writeContent(await unpackingOf(source, packed, signal), content, limits, signal);
  }
  const format = requireFormat(recognise(await readHead(content)), promised);
  if (format !== 'tar') return describe(request, format, content, (await stat(content)).size);
  const sha256 = isTrusted(request) && content === request.path ? request.sha256 : undefined;
  const tar = await unpackTar(content, folderPath(request.workFolder), signal, sha256);
  if (content !== request.path) await rm(content);
  return describe(request, 'postgres-directory', tar.folder, tar.contentBytes);
}

/** Undefined for a file that is its own content. */
async function howItIsPacked(
  source: FileHandle,
  { path, identity }: UnpackRequest,
  promised: Promised,
  signal: AbortSignal,
): Promise<Packing | undefined> {
  const outer = recognise(await readHead(path));
  requireEncryption(outer, promised);
  const key = outer.kind === 'encrypted' ? await requireIdentity(identity, source) : undefined;
  const inner = key
    ? recognise(await peekContent({ path, packed: { identity: key } }, signal))
    : outer;
  requireCompression(inner, promised);
  const compression = inner.kind === 'compressed' ? inner.compression : undefined;
  return key || compression ? { identity: key, compression } : undefined;
}

const ownPath = (workFolder: string) => join(workFolder, 'own');
const contentPath = (workFolder: string) => join(workFolder, 'content');
const folderPath = (workFolder: string) => join(workFolder, 'directory');

/** What `unpack` has made; the claimed file itself stays. */
export async function removeUnpacked(workFolder: string): Promise<void> {
  await rm(ownPath(workFolder), { force: true });
  await rm(contentPath(workFolder), { force: true });
  await rm(folderPath(workFolder), { force: true, recursive: true });
}

function describe(
  request: UnpackRequest,
  format: ArchiveFormat,
  path: string,
  contentBytes: number,
): UnpackedDrop {
  const { fileName, sha256, manifest, force } = request;
  const drop = { fileName, format, path, contentBytes, sha256, force };
  return manifest ? { ...drop, manifest } : drop;
}

function unknownExtension(name: string): DropbackError {
  return new DropbackError('drop/unknown-extension', `${JSON.stringify(name)} is no dump's name`, {
    hint: 'accepted are .sql, .dump, .db, .sqlite, .sqlite3 and .tar, each plain, .gz or .zst, and each of them .age.',
  });
}
