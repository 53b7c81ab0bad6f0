import { type BackupState, isJudgement, type StorePlace, type Verification } from './state-file.ts';

/**
 * Whether something has shown that the backup, as it lies there, is good, nothing later of the same
 * kind that it is not, and it could be read when that was last tried. An archive that can be read
 * whole does not outweigh one that didn't restore.
 */
export function isVerified(state: BackupState, where: StorePlace): boolean {
  const known = verdicts(state, where);
  const isGood = known.length > 0 && known.every(({ status }) => status === 'ok');
  return isGood && !isUnreadable(state, where);
}

/** Whether its file there could not be read the last time; either kind reads it whole. */
export function isUnreadable(state: BackupState, where: StorePlace): boolean {
  return latestThere(state, where)?.status === 'unreadable';
}

/** The latest finding that stands against the backup: that it is bad, or could not be read. */
export function doubtOf(state: BackupState): Verification | undefined {
  const places = ['local', 's3'] as const;
  const failed = places.flatMap((where) => verdicts(state, where)).filter(isFailed);
  const unread = places.filter((where) => isUnreadable(state, where));
  const standing = new Set([...failed, ...unread.map((where) => latestThere(state, where))]);
  return state.verifications.findLast((known) => standing.has(known));
}

/** Whether the latest verification of some kind has shown that it is not good, as it lies there. */
export function isBad(state: BackupState, where: StorePlace): boolean {
  return verdicts(state, where).some(isFailed);
}

/** Whether its latest rehearsal went well, be it of the copy in the other store. */
export function isRehearsed(state: BackupState, where: StorePlace): boolean {
  const latest = latestOf(bearingOn(state, where), 'restore');
  return latest?.status === 'ok' && !isUnreadable(state, where);
}

/** Whether that rehearsal covered everything that the backup holds. */
export function isRehearsedWhole(state: BackupState, where: StorePlace): boolean {
  const latest = latestOf(bearingOn(state, where), 'restore');
  return isRehearsed(state, where) && latest?.notCovered === undefined;
}

/** Whether the bytes of that copy are known to have changed. */
export function isDamaged(state: BackupState, where: StorePlace): boolean {
  const own = state.verifications.filter((known) => isJudgement(known) && placeOf(known) === where);
  return latestOf(own, 'archive')?.status === 'failed';
}

/**
 * Whether it was uploaded to `target` (`Store.identity`). That it was uploaded elsewhere, or nobody
 * noted whereto, says nothing of there. Without a target: to any.
 */
export function isUploaded({ uploads: { s3 } }: BackupState, target: string | undefined): boolean {
  return s3?.status === 'uploaded' && (target === undefined || s3.target === target);
}

/** The latest of each kind; what the two copies' bytes were found to be stands side by side. */
function verdicts(state: BackupState, where: StorePlace): Verification[] {
  const bearing = bearingOn(state, where);
  const ofCopies = (['local', 's3'] as const).map((place) =>
    latestOf(
      bearing.filter((known) => placeOf(known) === place),
      'archive',
    ),
  );
  return [...ofCopies, latestOf(bearing, 'restore')].filter((verdict) => verdict !== undefined);
}

/** Damage of the other copy says nothing of this one. That it doesn't restore does: bytes are equal. */
function bearingOn(state: BackupState, where: StorePlace): Verification[] {
  return state.verifications.filter(
    (known) => isJudgement(known) && (placeOf(known) === where || !isOfCopyAlone(known)),
  );
}

function isOfCopyAlone({ kind, status, error }: Verification): boolean {
  return status === 'failed' && (kind === 'archive' || error?.code === 'store/corrupt');
}

function isFailed({ status }: Verification): boolean {
  return status === 'failed';
}

function latestThere({ verifications }: BackupState, where: StorePlace): Verification | undefined {
  return verifications.findLast(
    (known) => known.status !== 'inconclusive' && placeOf(known) === where,
  );
}

function latestOf(
  verifications: readonly Verification[],
  kind: Verification['kind'],
): Verification | undefined {
  return verifications.findLast((known) => known.kind === kind);
}

function placeOf({ where }: Verification): StorePlace {
  return where ?? 'local';
}
