import { rm } from 'node:fs/promises';
import { freeArchiveId, parseBackupFile } from '../core/archive/archive-name.ts';
import type { Manifest } from '../core/archive/manifest.ts';
import { ownOrigin } from '../core/archive/origin.ts';
import { withVerification } from '../core/archive/state-file.ts';
import type { DatabaseLock, Dump, ReadBack } from '../core/engines/engine.ts';
import { ownFolder } from '../core/requests/backup-status.ts';
import { syncFile } from '../core/runtime/durable-files.ts';
import { DropbackError } from '../core/runtime/errors.ts';
import { together } from '../core/runtime/together.ts';
import type { Place } from '../core/runtime/turnstile.ts';
import { BackupHooks, type HookDependencies } from './backup-hooks.ts';
import { manifestOf } from './manifest-of.ts';
import { saveGlobals } from './save-globals.ts';

export interface RunDependencies extends HookDependencies {
  readonly version: string;
  /** Lets a remote copy begin while the spool still grows; undefined without a remote store. */
  readonly startEarlyUpload?: (spool: GrowingSpool, signal: AbortSignal) => EarlyUpload;
}

export interface GrowingSpool {
  readonly archiveFile: string;
  /** Path; the file may not be there yet. */
  readonly spool: string;
  readonly expectedBytes: number;
}

/** Parts of an archive that go up before it is verified; nothing is listed before `complete`. */
export interface EarlyUpload {
  /** The spool has its final size. */
  sealed(bytes: number): void;
  complete(manifest: Manifest, signal: AbortSignal): Promise<void>;
  abort(): Promise<void>;
}

export interface RunProgress {
  readonly step: 'lock' | 'dump' | 'read back' | 'publish' | 'upload' | 'rehearse';
  readonly message: string;
}

export interface FinishedRun {
  readonly manifest: Manifest;
  readonly upload: EarlyUpload | undefined;
  readonly durations: Readonly<Record<string, number>>;
}

/**
 * One backup: lock → dump into a spool → read back whole → publish archive and manifest. What it
 * returns is listed, complete, checksummed and durable; whatever goes wrong before that leaves
 * nothing listed and no spool.
 */
export class BackupRun {
  readonly #deps: RunDependencies;

  constructor(deps: RunDependencies) {
    this.#deps = deps;
  }

  /** `place`: among those that are backed up at the same time; none is taken up by waiting. */
  async execute(
    signal: AbortSignal,
    onProgress: (progress: RunProgress) => void = () => {},
    place?: Place,
  ): Promise<FinishedRun> {
    const hooks = new BackupHooks(this.#deps);
    try {
      const finished = await this.#bounded(hooks, signal, onProgress, place);
      await hooks.after(finished, signal);
      return finished;
    } catch (error) {
      await hooks.after({ error }, signal);
      throw error;
    }
  }

  async #bounded(
    hooks: BackupHooks,
    signal: AbortSignal,
    onProgress: (progress: RunProgress) => void,
    place: Place | undefined,
  ): Promise<FinishedRun> {
    const { config, log, engine } = this.#deps;
    const timer = deadline(config.timeoutMs);
    try {
      onProgress({ step: 'lock', message: 'taking the lock' });
      const unlocked = AbortSignal.any([signal, timer.signal]);
      await using lock = await this.#lock(unlocked, onProgress, place);
      const bounded = AbortSignal.any([signal, timer.signal, lock.lost]);
      log.info({ database: engine.description }, 'backup started');
      await hooks.before(bounded);
      return await this.#locked(bounded, signal, onProgress);
    } finally {
      timer.clear();
    }
  }

  /** A restore, or another daemon's backup, postpones this one; it doesn't fail it. */
  async #lock(
    signal: AbortSignal,
    onProgress: (progress: RunProgress) => void,
    place: Place | undefined,
  ): Promise<DatabaseLock> {
    const { engine, config, log } = this.#deps;
    const onWait = (holder: string | undefined) => {
      const message = `postponed: ${holder ?? 'another operation'} holds the database's lock`;
      log.info({ holder }, message);
      onProgress({ step: 'lock', message });
      place?.stepOut();
    };
    const request = { purpose: 'backup', waitMs: config.timeoutMs, onWait } as const;
    const lock = await engine.lock(request, signal);
    place?.stepIn();
    return lock;
  }

  /** `signal` is bounded by the run's time-out and the lock; the upload outlives both. */
  async #locked(
    signal: AbortSignal,
    uploadSignal: AbortSignal,
    onProgress: (progress: RunProgress) => void,
  ): Promise<FinishedRun> {
    const { config, engine, local, clock } = this.#deps;
    await this.#sweep(signal);
    const taken = await this.#takenIds(signal);
    const id = freeArchiveId(config.name, clock.now(), (candidate) => taken.has(candidate));
    const room = { freeBytes: await local.freeBytes() };
    const { archiveExtension, jobs } = await engine.planDump(room, signal);
    const archiveFile = `${id}${archiveExtension}`;
    const spool = local.spoolPath(archiveFile);
    const upload = await this.#startUpload(archiveFile, spool, signal, uploadSignal);
    const durations: Record<string, number> = {};
    const timed = async <T>(step: string, work: () => Promise<T>): Promise<T> => {
      const started = clock.monotonic();
      const result = await work();
      durations[step] = Math.round(clock.monotonic() - started);
      return result;
    };
    try {
      onProgress({ step: 'dump', message: 'dumping' });
      const dump = await timed('dump', () => this.#dump(spool, jobs, signal));
      upload?.sealed(dump.archive.bytes);
      onProgress({ step: 'read back', message: 'reading it back' });
      const readBack = await timed('readBack', () => this.#readBack(spool, dump, signal));
      onProgress({ step: 'publish', message: 'publishing' });
      const saved = await saveGlobals(dump, config.ageRecipients, signal);
      const manifest = manifestOf({
        id,
        name: config.name,
        origin: await this.#origin(),
        engine: engine.kind,
        archiveFile,
        dump,
        readBack,
        saved,
        rowCounts: config.rowCounts,
        excludedTableData: config.excludeTableData,
        finishedAt: clock.now(),
        version: this.#deps.version,
      });
      await timed('publish', () => local.publish(manifest, { path: spool }, signal));
      await this.#noteVerified(manifest, durations['readBack'] ?? 0);
      return { manifest, upload, durations };
    } catch (error) {
      await upload?.abort().catch(() => {});
      await rm(spool, { force: true });
      throw error;
    }
  }

  /** For want of it no backup fails: it is then taken for nobody else's. */
  async #origin(): Promise<string | undefined> {
    const { config, log } = this.#deps;
    return await ownOrigin(ownFolder(config.backupDir, config.name)).catch((error: unknown) => {
      log.warn({ error }, 'whose backups these are could not be noted');
      return undefined;
    });
  }

  async #noteVerified({ id }: Manifest, durationMs: number): Promise<void> {
    const { local, clock, log } = this.#deps;
    const at = clock.now().toISOString();
    await local
      .updateState(id, (state) =>
        withVerification(state, { kind: 'archive', status: 'ok', at, durationMs }),
      )
      .catch((error: unknown) => log.warn({ id, error }, 'the state file could not be written'));
  }

  async #startUpload(
    archiveFile: string,
    spool: string,
    signal: AbortSignal,
    uploadSignal: AbortSignal,
  ): Promise<EarlyUpload | undefined> {
    const { startEarlyUpload, engine } = this.#deps;
    if (!startEarlyUpload) return undefined;
    // An archive larger than its database is rare; it is then uploaded again, in larger parts.
    const { sizeBytes } = await engine.probe(signal);
    return startEarlyUpload({ archiveFile, spool, expectedBytes: sizeBytes }, uploadSignal);
  }

  /**
   * Ids of backups and of strays: an orphaned archive under a final name isn't overwritten. Those of
   * states too: what is known of a backup in S3 must not be taken for this one's, were the clock set back.
   */
  async #takenIds(signal: AbortSignal): Promise<Set<string>> {
    const { local, config } = this.#deps;
    const { backups, strays } = await local.list(signal);
    const ids = strays.map(({ name }) => parseBackupFile(config.name, name)?.id ?? name);
    return new Set([...backups.map(({ id }) => id), ...ids, ...(await local.stateIds())]);
  }

  async #sweep(signal: AbortSignal): Promise<void> {
    // Under the lock, so that a spool which another process is writing is never swept.
    const { local, log } = this.#deps;
    await local.prepare();
    const report = await local.sweep(signal);
    for (const id of report.rolledForward)
      log.warn({ id }, 'completed a backup that was cut short');
    for (const file of report.swept) log.info({ file }, 'removed what an unfinished backup left');
    for (const { name, reason } of report.strays) log.warn({ file: name, reason }, 'left alone');
  }

  /** On its way to the disk meanwhile, which takes no processor; `publish` relies on nothing of it. */
  async #readBack(spool: string, dump: Dump, signal: AbortSignal): Promise<ReadBack> {
    const [readBack] = await together(
      signal,
      (joint) => this.#deps.engine.readBack(spool, dump, joint),
      () => syncFile(spool),
    );
    return readBack;
  }

  #dump(spool: string, jobs: number, signal: AbortSignal): Promise<Dump> {
    const { config, engine, log } = this.#deps;
    return engine.dump(
      {
        spool,
        jobs,
        compressionLevel: config.compressionLevel,
        excludeTableData: config.excludeTableData,
        rolePasswords: config.rolePasswords,
        rowCounts: config.rowCounts,
        nice: config.nice,
        log,
      },
      signal,
    );
  }
}

function deadline(ms: number): { signal: AbortSignal; clear: () => void } {
  const controller = new AbortController();
  const error = new DropbackError(
    'backup/timed-out',
    `the backup took longer than ${ms / 1000} s`,
    {
      hint: 'raise BACKUP_TIMEOUT_SECONDS, or find out what holds it up: locks, a slow disk.',
    },
  );
  const timer = setTimeout(() => controller.abort(error), Math.min(ms, 2 ** 31 - 1));
  return { signal: controller.signal, clear: () => clearTimeout(timer) };
}
