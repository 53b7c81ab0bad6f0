import { randomBytes } from 'node:crypto';
import type { RestoreTarget } from '../core/engines/engine.ts';
import type { RestoreRequest } from '../core/requests/protocol.ts';
import { DropbackError } from '../core/runtime/errors.ts';
import { judgeName, safeName } from './drop-folder/drop-name.ts';
import type { QueuedDrop } from './drop-folder/drop-queue.ts';
import { newRecord } from './job.ts';
import type { PreviousRecord } from './journal/previous-records.ts';
import type { JobDescription, JobRecord } from './journal/record.ts';

export function recordForDrop(drop: QueuedDrop, now: Date): JobRecord {
  const { mode, force, rawName, signature } = drop.sighting;
  const job: JobDescription = {
    id: `${stamp(now)}-${randomBytes(4).toString('hex')}`,
    kind: mode,
    source: { kind: 'drop', mode },
    name: drop.name,
    rawName: rawName.toString('base64'),
    force,
    target: { kind: 'live' },
    startedAt: now.toISOString(),
  };
  return { ...newRecord(job), sourceSignature: signature };
}

/** Throws `request/*` for what doesn't make sense. Of what is kept, an undo means the first. */
export function recordForRequest(
  request: RestoreRequest,
  kept: readonly PreviousRecord[],
  now: Date,
): JobRecord {
  const { kind, file, backupId, into } = request;
  if (kind === 'drop-previous') throw new Error('not a job');
  const common = {
    id: `${stamp(now)}-${request.id}`,
    kind,
    source: { kind: 'request', requestId: request.id },
    startedAt: now.toISOString(),
  } as const;
  if (kind === 'undo') {
    const { previous, replacedBy } = findPrevious(kept, request.previousId);
    const isLater = previous.replacedAt > request.createdAt;
    if (request.previousId === undefined && replacedBy === 'undo' && isLater) throw alreadyUndone();
    const target = { kind: 'live' } as const;
    return newRecord({
      ...common,
      name: previous.name,
      rawName: '',
      force: false,
      target,
      previous,
    });
  }
  if ((file === undefined) === (backupId === undefined)) throw fileOrBackup();
  if (kind === 'check' && into !== undefined) throw checkHasNoTarget();
  const raw = Buffer.from(file ?? '');
  const forced = file !== undefined && isForced(file);
  const target: RestoreTarget =
    into === undefined ? { kind: 'live' } : { kind: 'side', name: into };
  if (kind === 'restore' && into === undefined) requireNotRestored(request, kept);
  return newRecord({
    ...common,
    name: file === undefined ? (backupId ?? '') : safeName(raw),
    rawName: raw.toString('base64'),
    force: request.force === true || forced,
    target,
    ...(backupId === undefined ? {} : { backupId }),
    ...(kind === 'restore' && request.globals ? { globals: true } : {}),
  });
}

export function findPrevious(
  kept: readonly PreviousRecord[],
  id: string | undefined,
): PreviousRecord {
  const found = id === undefined ? kept[0] : kept.find(({ previous }) => previous.id === id);
  if (found) return found;
  const which = id === undefined ? 'no previous database is kept' : `${id} is not kept`;
  throw new DropbackError('request/no-previous', which, {
    hint: '`dropback previous` shows those that are; backups can be restored at any time.',
  });
}

/** `app_20261122T191500Z.dump.zst` */
const BACKUP = /_\d{8}T\d{6}Z\./;

/**
 * The same backup asked for twice at once: carried out, the second would drop the database that the
 * first has put aside, and keep a copy of the backup in its place.
 */
function requireNotRestored(
  { backupId, createdAt }: RestoreRequest,
  [newest]: readonly PreviousRecord[],
): void {
  if (backupId === undefined || !newest || newest.previous.replacedAt <= createdAt) return;
  const { replacedBy } = newest;
  // The record has the archive's name; which one is the latest was looked up only then.
  const isSame =
    backupId === 'latest' ? BACKUP.test(replacedBy) : replacedBy.startsWith(`${backupId}.`);
  if (!isSame) return;
  throw new DropbackError(
    'request/already-restored',
    `${replacedBy} was restored since this was asked for`,
    {
      hint: 'it is live, and what it replaced is kept: `dropback undo` brings that back. Ask again where it is to be restored once more.',
    },
  );
}

/** Two people ask at once, or one asks twice: carried out, the second would take the first back. */
function alreadyUndone(): DropbackError {
  return new DropbackError(
    'request/already-undone',
    'another undo was carried out since this one was asked for',
    {
      hint: 'the database from before the restore is live. `dropback undo` asked for now would bring back what was live until then.',
    },
  );
}

function isForced(file: string): boolean {
  const verdict = judgeName(file);
  return verdict.kind === 'drop' && verdict.force;
}

/** `20261122T191500Z`: sorts by time. */
function stamp(now: Date): string {
  return now.toISOString().replace(/[-:]|\.\d+/g, '');
}

function fileOrBackup(): DropbackError {
  return new DropbackError('request/unclear', 'the request names no file and no backup, or both', {
    hint: 'name either a file or the id of a backup.',
  });
}

function checkHasNoTarget(): DropbackError {
  return new DropbackError('request/unclear', 'a check swaps nothing and so has no other target', {
    hint: 'leave --into out, or restore with --into.',
  });
}
