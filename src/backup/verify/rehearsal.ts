import { randomBytes } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Manifest } from '../../core/archive/manifest.ts';
import { unpack } from '../../core/archive/unpack.ts';
import type { UnpackedDrop } from '../../core/archive/unpacked.ts';
import type { Rehearsal, RehearsalEngine } from '../../core/engines/engine.ts';
import type { Logger } from '../../core/observability/log.ts';
import { ensureFolder } from '../../core/runtime/durable-files.ts';
import { DropbackError } from '../../core/runtime/errors.ts';
import type { LocalStore } from '../../core/stores/local/store.ts';
import type { Store } from '../../core/stores/store.ts';

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
        const archive = await this.#unpack(manifest, store, workFolder, locked);
        const request = { manifest, archive, workFolder, queries, log, onProgress };
        return await engine.rehearse(request, locked);
      } finally {
        await rm(workFolder, { recursive: true, force: true });
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
  async #unpack(
    manifest: Manifest,
    store: Store,
    workFolder: string,
    signal: AbortSignal,
  ): Promise<UnpackedDrop> {
    const { file, sha256 } = manifest.archive;
    let path = join(workFolder, file);
    if (store.kind === 'local') {
      await store.verify(manifest, signal);
      path = this.#deps.local.archivePath(manifest);
    } else {
      await store.fetch(manifest, path, signal);
    }
    const request = { path, fileName: file, workFolder, sha256, manifest, force: false };
    return await unpack(request, signal);
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
