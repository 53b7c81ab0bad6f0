import { parseArchiveId } from '../archive/archive-name.ts';
import { newestOf } from '../archive/newest.ts';
import type { CatalogueEntry, CatalogueView } from './catalogue.ts';

/**
 * The newest backup that was uploaded, where its copy is not in the remote store, which has just been asked.
 * Older ones may be missing as they should: a rule of the bucket may have taken them.
 */
export function newestLostCopy(
  { entries, unreachable }: Pick<CatalogueView, 'entries' | 'unreachable'>,
  now: Date,
): CatalogueEntry | undefined {
  if (unreachable.length > 0) return undefined;
  const uploaded = entries.filter(({ uploaded: isUploaded }) => isUploaded);
  const newest = newestOf(uploaded, ({ id }) => parseArchiveId(id)?.at ?? new Date(0), now);
  const isLost = newest && !newest.where.includes('s3') && !newest.state.uploads.s3?.removedAt;
  return isLost ? newest : undefined;
}
