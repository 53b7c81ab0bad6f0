import type { Manifest } from '../archive/manifest.ts';
import { DropbackError, messageOf } from '../runtime/errors.ts';

/** For a writer that lacks the right to delete. */
export const MAY_NOT_DELETE =
  'set S3_PRUNE=false, and let a lifecycle rule of the bucket expire what is old (docs/s3.md); ' +
  'or allow s3:DeleteObject there.';

export function existsAlready(id: string, where: string): DropbackError {
  return new DropbackError('store/exists', `${where} already has ${id}`, {
    hint: 'nothing was overwritten; if that is this same backup, confirm it instead.',
    facts: { id, where },
  });
}

export function notFound(id: string, where: string): DropbackError {
  return new DropbackError('store/not-found', `${where} has no ${id}`, {
    hint: '`dropback list` shows which ids there are; retention may have removed it.',
    facts: { id, where },
  });
}

/** Where `latest` is asked for. */
export function noBackup(): DropbackError {
  return new DropbackError('store/not-found', 'there is no backup yet', {
    hint: '`dropback backup` makes one; `dropback list` shows what else lies there. BACKUP_NAME and BACKUP_DIR must be those of db-backup.',
  });
}

/** What the system says when it, and not the file or its disk, is why something can't be read now. */
const OF_THE_MOMENT = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN', 'EINTR', 'ENOENT']);

/** Whether an error of the system's says of a file that its disk doesn't give it back. */
export function isAboutReading(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  const isOurs = error instanceof DropbackError;
  return !isOurs && typeof code === 'string' && /^E[A-Z]+$/.test(code) && !OF_THE_MOMENT.has(code);
}

/** Of a file that is there and can't be read, which is no proof that it is damaged. */
export function unreadable(path: string, cause: unknown): DropbackError {
  const said = messageOf(cause);
  return new DropbackError('store/unreadable', `${path} could not be read: ${said}`, {
    hint: "look at the kernel's log (dmesg) and at that disk, then verify it again; do not delete it before there is another good backup.",
    facts: { path },
    cause,
  });
}

/** A store of one database never touches what is another's. */
export function requireOwnName(manifest: Manifest, name: string, where: string): void {
  if (manifest.name === name) return;
  throw new DropbackError('store/refused', `${manifest.id} is a backup of ${manifest.name}`, {
    hint: `${where} holds backups of ${name} only.`,
    facts: { id: manifest.id, where },
  });
}

export function differentManifest(id: string, where: string): DropbackError {
  return new DropbackError('store/corrupt', `${where} has another manifest under ${id}`, {
    hint: 'two daemons may be writing under one BACKUP_NAME; give each its own name or prefix.',
    facts: { id, where },
  });
}
