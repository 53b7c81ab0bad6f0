import { join } from 'node:path';
import type { Manifest } from '../core/archive/manifest.ts';
import { writeDurably } from '../core/runtime/durable-files.ts';
import { readSealed, type SealKind, seal } from './journal/sealed.ts';

const KIND: SealKind = { format: 'dropback-known-backup', version: 1 };
const FILE = 'backup.json';

interface KnownBackup {
  readonly sha256: string;
  readonly manifest: Manifest;
}

/**
 * Notes in the work folder that the claimed file is a backup of ours. A later attempt need not find
 * it again: S3 may be away then, and the file would count as foreign.
 */
export async function noteBackup(workFolder: string, known: KnownBackup): Promise<void> {
  await writeDurably(join(workFolder, FILE), seal(KIND, 1, known));
}

/** What was noted of the file with this checksum (hex); undefined where nothing was. */
export async function notedBackup(
  workFolder: string,
  sha256: string,
): Promise<Manifest | undefined> {
  const file = await readSealed<KnownBackup>(KIND, join(workFolder, FILE));
  return file.kind === 'valid' && file.body.sha256 === sha256 ? file.body.manifest : undefined;
}
