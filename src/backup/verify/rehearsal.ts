import { randomBytes } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Manifest } from '../../core/archive/manifest.ts';
import type { Rehearsal, RehearsalEngine } from '../../core/engines/engine.ts';
import type { Logger } from '../../core/observability/log.ts';
import { ensureFolder } from '../../core/runtime/durable-files.ts';
import { DropbackError } from '../../core/runtime/errors.ts';
import type { LocalStore } from '../../core/stores/local/store.ts';
import type { Store } from '../../core/stores/store.ts';
import { secondLook, unpackArchive } from './second-look.ts';

export interface RehearsalsDependencies {
  readonly engine: RehearsalEngine;
  readonly local: LocalStore;
  /** Our own, for what is unpacked. */
  readonly folder: string;
  /** BACKUP_VERIFY_SQL. */
  readonly queries: readonly string[];
  /** BACKUP_TIMEOUT_SECONDS, for one rehearsal as for one backup. Milliseconds. */
  readonly timeoutMs: number;
  readonly log: Logger;
}

const WORK_FOLDER = /^verify-[0-9a-f]{16}$/;

/** Restores backups as a test, one at a time, and leaves nothing behind. */
export class Rehearsals {
  readonly #deps: RehearsalsDependencies;

  constructor(deps: RehearsalsDependencies) {
    this.#deps = deps;
  }

  /** Throws as `RehearsalEngine.rehearse`, `Store.fetch` and `unpack` do, or `verify/timed-out`. */
  async rehearse(
    manifest: Manifest,
    store: Store,
    onProgress: (message: string) => void,
    signal: AbortSignal,
  ): Promise<Rehearsal> {
    const { engine, folder, queries, log, timeoutMs } = this.#deps;
    const timer = deadline(timeoutMs);
    try {
      await ensureFolder(folder);
      const onWait = () => onProgress('waiting for another rehearsal');
      const bounded = AbortSignal.any([signal, timer.signal]);
      await using lock = await engine.lock({ waitMs: timeoutMs, onWait }, bounded);
      const locked = AbortSignal.any([bounded, lock.lost]);
      await this.#sweep(locked);
      const workFolder = join(folder, `verify-${randomBytes(8).toString('hex')}`);
      try {
        await ensureFolder(workFolder);
        onProgress('unpacking');
        const path = await this.#locate(manifest, store, workFolder, locked);
        const known = { manifest, path, workFolder };
        const archive = await unpackArchive(known, locked);
        const request = { manifest, archive, workFolder, queries, log, onProgress };
        return await engine.rehearse(request, locked).catch(async (error: unknown) => {
          throw await secondLook(error, { ...known, archive }, locked);
        });
      } finally {
        // On a failing volume, too, what the rehearsal found is what counts; the next one sweeps.
        await rm(workFolder, { recursive: true, force: true }).catch((error: unknown) =>
          log.warn({ error, name: workFolder }, 'what was unpacked could not be removed'),
        );
      }
    } finally {
      timer.clear();
    }
  }

  async #sweep(signal: AbortSignal): Promise<void> {
    const { engine, folder, log } = this.#deps;
    const left = (await readdir(folder)).filter((name) => WORK_FOLDER.test(name));
    for (const name of left) await rm(join(folder, name), { recursive: true, force: true });
    for (const name of [...left, ...(await engine.sweep(log, signal))]) {
      log.info({ name }, 'removed what an unfinished rehearsal left');
    }
  }

  /** A local archive is read where it lies; its checksum is compared first in either case. */
  async #locate(
    manifest: Manifest,
    store: Store,
    workFolder: string,
    signal: AbortSignal,
  ): Promise<string> {
    if (store.kind === 'local') {
      await store.verify(manifest, signal);
      return this.#deps.local.archivePath(manifest);
    }
    const path = join(workFolder, manifest.archive.file);
    await store.fetch(manifest, path, signal);
    return path;
  }
}

function deadline(ms: number): { signal: AbortSignal; clear: () => void } {
  const controller = new AbortController();
  const error = new DropbackError(
    'verify/timed-out',
    `the rehearsal took longer than ${ms / 1000} s`,
    {
      hint: 'raise BACKUP_TIMEOUT_SECONDS, or give rehearsals a faster server: BACKUP_VERIFY_URL.',
    },
  );
  const timer = setTimeout(() => controller.abort(error), Math.min(ms, 2 ** 31 - 1));
  return { signal: controller.signal, clear: () => clearTimeout(timer) };
}
