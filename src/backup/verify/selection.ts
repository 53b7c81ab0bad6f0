import { parseArchiveId, parseBackupFile } from '../../core/archive/archive-name.ts';
import type { Manifest } from '../../core/archive/manifest.ts';
import { newestOf } from '../../core/archive/newest.ts';
import { madeByOthers } from '../../core/archive/origin.ts';
import type { StorePlace } from '../../core/archive/state-file.ts';
import { DropbackError } from '../../core/runtime/errors.ts';
import type { CatalogueView } from '../../core/stores/catalogue.ts';
import { newestLostCopy } from '../../core/stores/lost-copy.ts';
import { noBackup, notFound, unreadable } from '../../core/stores/store-errors.ts';

/** One copy of a backup: what is to be read, or why it is no longer listed. */
export type Copy =
  | { readonly where: StorePlace; readonly manifest: Manifest }
  | { readonly where: StorePlace; readonly damage: DropbackError };

/** A backup by everything that lies under its id, a damaged manifest included. */
export interface Selected {
  readonly id: string;
  /** The local one first. */
  readonly copies: readonly Copy[];
}

export type Selection = 'latest' | 'all' | { readonly id: string };

/**
 * The backups that are to be verified, oldest first. A manifest that can't be read, or has lost its
 * archive, is a backup too: it was listed once, and `latest` must not pass over it. Throws
 * `store/not-found`.
 */
export function selectBackups(
  view: CatalogueView,
  name: string,
  selection: Selection,
  now: Date,
  store?: StorePlace,
): Selected[] {
  const found = new Map<string, Copy[]>();
  const add = (id: string, copy: Copy) => {
    if (store === undefined || store === copy.where) {
      found.set(id, [...(found.get(id) ?? []), copy]);
    }
  };
  for (const { id, where, manifest } of view.entries) {
    for (const place of where) add(id, { where: place, manifest });
  }
  for (const { name: file, where, reason, unreadable: isUnread } of view.strays) {
    const known = parseBackupFile(name, file);
    if (known?.kind !== 'manifest') continue;
    const damage = isUnread ? unreadable(file, reason) : damaged(known.id, reason);
    add(known.id, { where, damage });
  }
  for (const id of view.conflicts) {
    const why = 'the two stores hold different backups under this id';
    if (store === undefined) add(id, { where: 's3', damage: damaged(id, why) });
  }
  const others = ofOthers(view);
  const own = view.entries.filter(({ id }) => !others.includes(id));
  const lost = newestLostCopy({ ...view, entries: own }, now);
  if (lost) add(lost.id, { where: 's3', damage: copyGone(lost.id) });
  const all = [...found].map(([id, copies]) => ({ id, copies: copies.toSorted(localFirst) }));
  all.sort((a, b) => timeOf(a.id) - timeOf(b.id));
  if (selection === 'all') return all;
  const ours = all.filter(({ id }) => !others.includes(id));
  const wanted =
    selection === 'latest'
      ? newestOf(ours, ({ id }) => new Date(timeOf(id)), now)
      : all.find(({ id }) => id === selection.id);
  if (wanted) return [wanted];
  throw selection === 'latest' ? noBackup() : notFound(selection.id, 'the catalogue');
}

/** That another stack's backup is good says nothing of ours; what lies here is ours. */
function ofOthers({ entries }: CatalogueView): readonly string[] {
  const here = entries.findLast(({ where }) => where.includes('local'));
  const manifests = entries.map(({ manifest }) => manifest);
  return madeByOthers(here?.manifest.origin, manifests).ids;
}

function localFirst(a: Copy, b: Copy): number {
  return Number(a.where !== 'local') - Number(b.where !== 'local');
}

function timeOf(id: string): number {
  return parseArchiveId(id)?.at.getTime() ?? 0;
}

function copyGone(id: string): DropbackError {
  return new DropbackError('verify/copy-gone', `${id} was uploaded, and is in S3 no longer`, {
    hint: 'look who deletes there; db-backup uploads it again within an hour, while it is here.',
    facts: { id },
  });
}

function damaged(id: string, reason: string): DropbackError {
  return new DropbackError('manifest/corrupt', `${id} is not listed any more: ${reason}`, {
    hint: 'use another backup, or the copy in the other store; then look for a failing disk.',
    facts: { id, reason },
  });
}
