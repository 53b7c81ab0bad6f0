import { journalPlace } from '../core/config/restore-places.ts';
import { type Checkpoint, noCheckpoint } from './checkpoint.ts';
import type { RestoreDaemonParts } from './daemon.ts';
import type { Folders } from './drop-folder/folders.ts';
import { ScriptLooks } from './drop-folder/script-looks.ts';
import { Journal } from './journal/journal.ts';
import { PreviousRecords } from './journal/previous-records.ts';
import { StoppedFile } from './journal/stopped.ts';
import type { MachineParts } from './parts.ts';
import { RestoreHooks } from './restore-hooks.ts';

/** What bringing things in order may take when the daemon is asked to end. Milliseconds. */
const END_GRACE_MS = 60_000;
/** Of which the containers, which may be ending, too: whoever ends us waits. Milliseconds. */
const START_GRACE_MS = 10_000;
const MOST_ATTEMPTS = 3;

/** What the restore machine works with, from what the daemon is given. */
export function machineParts(
  given: RestoreDaemonParts,
  folders: Folders,
  telling: Pick<MachineParts, 'board' | 'news'>,
): MachineParts {
  const { config, engine, application, catalogue, clock, log } = given;
  const checkpoint: Checkpoint = given.checkpoint ?? noCheckpoint;
  return {
    engine,
    application,
    catalogue,
    folders,
    journal: new Journal(journalPlace(config), checkpoint),
    stopped: new StoppedFile(journalPlace(config), checkpoint),
    previous: new PreviousRecords(folders.previous, checkpoint),
    settings: {
      stopFirst: config.stopFirst,
      keepPreviousMs: config.keepPreviousMs,
      waitForBackupMs: config.waitForBackupMs,
      ...(config.timeoutMs === undefined ? {} : { timeoutMs: config.timeoutMs }),
      startGraceMs: START_GRACE_MS,
      endGraceMs: END_GRACE_MS,
      mostAttempts: MOST_ATTEMPTS,
    },
    identity: config.ageIdentity,
    ...(engine.kind === 'postgres' ? { scripts: new ScriptLooks() } : {}),
    hooks: new RestoreHooks(given.hooks, engine.description, clock, given.secrets ?? []),
    clock,
    log,
    checkpoint,
    ...telling,
    ...(given.turn ? { turn: given.turn } : {}),
    ...(given.tidying ? { tidying: given.tidying } : {}),
    lateStops: { until: Number.NEGATIVE_INFINITY },
    leftovers: { found: false },
  };
}
