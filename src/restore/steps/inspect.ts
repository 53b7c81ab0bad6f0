import type { ArchiveFormat } from '../../core/archive/format.ts';
import type { Manifest } from '../../core/archive/manifest.ts';
import { unpack } from '../../core/archive/unpack.ts';
import type { UnpackedDrop } from '../../core/archive/unpacked.ts';
import type { EngineKind, Inspection } from '../../core/engines/engine.ts';
import { DropbackError, isAbort, messageOf } from '../../core/runtime/errors.ts';
import type { KnownArchive } from '../../core/stores/catalogue.ts';
import { claimedPath } from '../drop-folder/claim.ts';
import type { Job } from '../job.ts';
import { noteBackup, notedBackup } from '../known-backup.ts';
import { makeMissingRoles, requireGlobals, tellOfMissingRoles } from '../missing-roles.ts';
import type { MachineParts } from '../parts.ts';

export interface Inspected {
  readonly drop: UnpackedDrop;
  readonly inspection: Inspection;
}

/**
 * Unpacks, looks the checksum up, lets the engine read everything. Changes no database; where roles
 * were asked for, those that are missing are made once nothing else speaks against the restore.
 */
export async function inspectStep(
  job: Job,
  parts: MachineParts,
  signal: AbortSignal,
): Promise<Inspected> {
  const { name, force, backupId } = job.description;
  const sha256 = job.record.claimed?.sha256 ?? '';
  const manifest = await lookUp(job, parts, sha256, signal);
  requireGlobals(job, parts, manifest);
  const unpacked = await unpack(
    {
      path: claimedPath(job.workFolder),
      fileName: name,
      workFolder: job.workFolder,
      sha256,
      // What was fetched has never been anybody else's.
      mayChange: backupId === undefined,
      force,
      identity: parts.identity,
      ...(manifest ? { manifest } : {}),
    },
    signal,
  );
  const script = parts.scripts?.take(job.record.claimed?.signature ?? '');
  const drop = script ? { ...unpacked, script } : unpacked;
  requireEngine(drop.format, parts.engine.kind);
  // First, because inspection refuses in place what names roles that aren't there.
  await makeMissingRoles(job, parts, manifest, signal);
  const inspection = await parts.engine.inspect(drop, job.context(signal));
  tellOfMissingRoles(job, manifest, inspection);
  job.warn(...inspection.warnings);
  return { drop, inspection };
}

/**
 * A catalogue that can't be read makes a file foreign, not the restore impossible. What was found
 * once holds for every later attempt.
 */
async function lookUp(
  job: Job,
  parts: MachineParts,
  sha256: string,
  signal: AbortSignal,
): Promise<Manifest | undefined> {
  const noted = await notedBackup(job.workFolder, sha256);
  if (noted) return noted;
  const known = await findOurs(job, parts, sha256, signal);
  if (!known) return undefined;
  const { manifest, isListed } = known;
  await noteBackup(job.workFolder, { sha256, manifest });
  job.note({ backupOfOurs: manifest.id });
  if (!isListed) job.warn(movedAway(manifest));
  return manifest;
}

async function findOurs(
  job: Job,
  parts: MachineParts,
  sha256: string,
  signal: AbortSignal,
): Promise<KnownArchive | undefined> {
  try {
    return await parts.catalogue.findBySha256(sha256, signal);
  } catch (error) {
    if (isAbort(error)) throw error;
    job.warn(
      `whether it is a backup made here could not be found out, so the file counts as foreign: ${messageOf(error)}`,
    );
    return undefined;
  }
}

/** `mv` instead of `cp`: nobody would notice before that backup is looked for. */
function movedAway({ id, archive }: Manifest): string {
  return `${id} is no longer among the backups: its archive was moved into the drop folder. To keep it, copy the file back beside its manifest, as ${archive.file}`;
}

function requireEngine(format: ArchiveFormat, kind: EngineKind): void {
  const made: EngineKind = format.startsWith('sqlite') ? 'sqlite' : 'postgres';
  if (made === kind) return;
  const names = { postgres: 'PostgreSQL', sqlite: 'SQLite' };
  throw new DropbackError(
    'drop/wrong-engine',
    `the dump is one of ${names[made]}, but the live database is ${names[kind]}`,
    { hint: `drop a dump of ${names[kind]}.`, facts: { format, engine: kind } },
  );
}
