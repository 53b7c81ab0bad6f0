import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type BackupFile,
  MANIFEST_SUFFIX,
  PARTIAL_SUFFIX,
  parseBackupFile,
  REMOVING_SUFFIX,
} from '../../archive/archive-name.ts';
import type { Manifest } from '../../archive/manifest.ts';
import { LARGEST_MANIFEST_BYTES, parseManifest } from '../../archive/manifest-file.ts';
import { DropbackError } from '../../runtime/errors.ts';
import { openRegular } from '../file-copy.ts';

export interface FolderEntry extends BackupFile {
  readonly file: string;
}

export interface FolderContent {
  readonly ours: readonly FolderEntry[];
  readonly foreign: readonly string[];
}

/** `<BACKUP_DIR>/<name>`: the names of the files in it and how they are read. Never writes. */
export class BackupFolder {
  readonly path: string;
  readonly name: string;

  constructor(path: string, name: string) {
    this.path = path;
    this.name = name;
  }

  file(file: string): string {
    return join(this.path, file);
  }

  /** Where an archive is written, until it is published under its own name. */
  spoolPath(archiveFile: string): string {
    return this.file(archiveFile + PARTIAL_SUFFIX);
  }

  manifestPath(id: string): string {
    return this.file(id + MANIFEST_SUFFIX);
  }

  manifestPartialPath(id: string): string {
    return this.file(id + MANIFEST_SUFFIX + PARTIAL_SUFFIX);
  }

  removingPath(id: string): string {
    return this.file(id + MANIFEST_SUFFIX + REMOVING_SUFFIX);
  }

  /** Every file, sorted by name. A folder that doesn't exist yet is empty. */
  async read(): Promise<FolderContent> {
    const ours: FolderEntry[] = [];
    const foreign: string[] = [];
    for (const file of (await namesIn(this.path)).sort()) {
      const known = parseBackupFile(this.name, file);
      if (known) ours.push({ ...known, file });
      else foreign.push(file);
    }
    return { ours, foreign };
  }

  /**
   * The manifest in a file, which must be of this database and this id. Undefined where there is no
   * such file; `manifest/corrupt`, `manifest/version` as parseManifest has it.
   */
  async readManifest(path: string, id: string): Promise<Manifest | undefined> {
    const bytes = await readBounded(path);
    if (bytes === undefined) return undefined;
    const manifest = parseManifest(bytes, path);
    if (manifest.id === id && manifest.name === this.name) return manifest;
    throw new DropbackError('manifest/corrupt', `${path} is the manifest of ${manifest.id}`, {
      hint: 'someone renamed it; give it its own name back, or move it away.',
      facts: { path },
    });
  }

  /** Size of a regular file; undefined where there is none. */
  async sizeOf(path: string): Promise<number | undefined> {
    try {
      const found = await lstat(path);
      return found.isFile() ? found.size : undefined;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }
}

async function namesIn(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

async function readBounded(path: string): Promise<Buffer | undefined> {
  try {
    await using file = await openRegular(path);
    const { size } = await file.stat();
    // Too large to be one: an empty buffer is refused as damaged.
    return size > LARGEST_MANIFEST_BYTES ? Buffer.alloc(0) : await file.readFile();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') return undefined;
    if (code === 'EINVAL' || code === 'ELOOP') return Buffer.alloc(0);
    throw error;
  }
}
