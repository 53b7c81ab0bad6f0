/**
 * Names of backups: `<name>_20261122T191500Z`, in UTC, so that they sort by time within one name.
 * `<id><extension>` is the archive, `<id>.json` its manifest, `<id>.state.json` its state.
 */

/** BACKUP_NAME's alphabet. No letter that a file system, a shell or S3 treats specially. */
export const NAME_PATTERN = /^[a-z0-9._-]{1,40}$/;
/** One to four suffixes, for example `.dump.zst.age`; no `_`, so that no id fits in one. */
const EXTENSION_PATTERN = /^(?:\.[a-z0-9]{1,12}){1,4}$/;
const ID_PATTERN = /^(.+)_(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/;

const TEMPORARY_PATTERN = /^\.(.+)\.[0-9a-f]{12}\.tmp$/;

export const MANIFEST_SUFFIX = '.json';
export const STATE_SUFFIX = '.state.json';
/** Ends the name of what is being written. */
export const PARTIAL_SUFFIX = '.partial';
/** Ends the name of the folder in which one archive is put together or taken apart. */
export const PARTIAL_FOLDER_SUFFIX = `${PARTIAL_SUFFIX}.d`;
/** Ends the name of the manifest of a backup whose files are being deleted. */
export const REMOVING_SUFFIX = '.removing';

export interface ArchiveId {
  readonly name: string;
  readonly at: Date;
}

/** The id of a backup of `name` at `at`, cut to whole seconds. */
export function formatArchiveId(name: string, at: Date): string {
  return `${name}_${at.toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`;
}

/** Name and time of an id; undefined where it isn't one (a 30 February included). */
export function parseArchiveId(id: string): ArchiveId | undefined {
  const [, name, year, month, day, hour, minute, second] = ID_PATTERN.exec(id) ?? [];
  if (name === undefined || !NAME_PATTERN.test(name)) return undefined;
  const at = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number.isNaN(at.getTime()) || formatArchiveId(name, at) !== id) return undefined;
  return { name, at };
}

/** The first id from `now` on that isn't taken: two backups in a second get two seconds. */
export function freeArchiveId(name: string, now: Date, isTaken: (id: string) => boolean): string {
  for (let ms = now.getTime(); ; ms += 1000) {
    const id = formatArchiveId(name, new Date(ms));
    if (!isTaken(id)) return id;
  }
}

/** The private folder in which a SQLite backup is copied: there while it runs, swept by the next one. */
export function isWorkingCopy(file: string): boolean {
  return /^\..+\.dropback_c_[0-9a-f]{16}$/.test(file);
}

/** What a file of a backup of `name` is; undefined for every other file. */
export function parseBackupFile(name: string, file: string): BackupFile | undefined {
  const [, replaced] = TEMPORARY_PATTERN.exec(file) ?? [];
  if (replaced !== undefined) {
    const known = parseBackupFile(name, replaced);
    return known ? { id: known.id, kind: 'temporary' } : undefined;
  }
  const separator = `${name}_`.length;
  const id = file.slice(0, separator + '20261122T191500Z'.length);
  if (parseArchiveId(id)?.name !== name) return undefined;
  const rest = file.slice(id.length);
  for (const [kind, suffix] of ENDINGS) if (rest === suffix) return { id, kind };
  for (const [kind, suffix] of ARCHIVE_ENDINGS) {
    if (!rest.endsWith(suffix)) continue;
    return isArchiveExtension(rest.slice(0, rest.length - suffix.length))
      ? { id, kind }
      : undefined;
  }
  return undefined;
}

export interface BackupFile {
  readonly id: string;
  readonly kind:
    | 'archive'
    | 'archive-partial'
    | 'archive-partial-folder'
    | 'manifest'
    | 'manifest-partial'
    | 'manifest-removing'
    | 'state'
    /** What writeDurably left behind in a crash, or is writing. */
    | 'temporary';
}

const ENDINGS: readonly (readonly [BackupFile['kind'], string])[] = [
  ['manifest', MANIFEST_SUFFIX],
  ['manifest-partial', MANIFEST_SUFFIX + PARTIAL_SUFFIX],
  ['manifest-removing', MANIFEST_SUFFIX + REMOVING_SUFFIX],
  ['state', STATE_SUFFIX],
];

/** In this order: what is left of them must be an extension. */
const ARCHIVE_ENDINGS: readonly (readonly [BackupFile['kind'], string])[] = [
  ['archive-partial-folder', PARTIAL_FOLDER_SUFFIX],
  ['archive-partial', PARTIAL_SUFFIX],
  ['archive', ''],
];

/** The folder that belongs to an archive, finished or not: beside it, and swept after a crash. */
export function partialFolderOf(archivePath: string): string {
  const isPartial = archivePath.endsWith(PARTIAL_SUFFIX);
  const stem = isPartial ? archivePath.slice(0, -PARTIAL_SUFFIX.length) : archivePath;
  return stem + PARTIAL_FOLDER_SUFFIX;
}

/** Whether an archive may be called `<id><extension>` without being taken for something else. */
export function isArchiveExtension(extension: string): boolean {
  if (!EXTENSION_PATTERN.test(extension)) return false;
  return !NO_ARCHIVE.some((end) => extension.endsWith(end));
}

const NO_ARCHIVE = [MANIFEST_SUFFIX, PARTIAL_SUFFIX, PARTIAL_FOLDER_SUFFIX, REMOVING_SUFFIX];
