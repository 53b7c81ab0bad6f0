import type { Manifest } from '../core/archive/manifest.ts';
import type { BackupConfig } from '../core/config/config.ts';
import type { BackupEngine } from '../core/engines/engine.ts';
import { type HookEnvironment, runHook } from '../core/hooks/hook.ts';
import type { Logger } from '../core/observability/log.ts';
import type { Clock } from '../core/runtime/clock.ts';
import { errorReport } from '../core/runtime/errors.ts';
import type { LocalStore } from '../core/stores/local/store.ts';

export interface HookDependencies {
  readonly config: BackupConfig;
  readonly engine: BackupEngine;
  readonly local: LocalStore;
  readonly clock: Clock;
  readonly log: Logger;
  /** Told what went wrong with the post-hook (which fails no backup), or that nothing did. */
  readonly onPostHook?: (error?: unknown) => void;
}

/** How a run ended. */
export type RunEnd = { readonly manifest: Manifest } | { readonly error: unknown };

/** What the post-hook may take when the daemon is asked to end. Milliseconds. */
const END_GRACE_MS = 10_000;

/** BACKUP_PRE_HOOK and BACKUP_POST_HOOK around one run. */
export class BackupHooks {
  readonly #deps: HookDependencies;
  #begun = false;

  constructor(deps: HookDependencies) {
    this.#deps = deps;
  }

  /** Throws what fails the run: `hook/failed`, `hook/timed-out`, `run/aborted`. */
  async before(signal: AbortSignal): Promise<void> {
    this.#begun = true;
    const { pre } = this.#deps.config.hooks;
    if (pre === undefined) return;
    await this.#run('BACKUP_PRE_HOOK', pre, {}, signal);
  }

  /**
   * Whatever came of the run; a run that was broken off has it only where the pre-hook was reached,
   * whose effects it may have to undo. Never throws.
   */
  async after(end: RunEnd, signal: AbortSignal): Promise<void> {
    const { config, log, onPostHook } = this.#deps;
    const { post } = config.hooks;
    if (post === undefined || (signal.aborted && !this.#begun)) return;
    const bounded = signal.aborted ? AbortSignal.timeout(END_GRACE_MS) : signal;
    try {
      await this.#run('BACKUP_POST_HOOK', post, this.#describe(end), bounded);
      onPostHook?.();
    } catch (error) {
      log.warn({ error }, 'BACKUP_POST_HOOK failed');
      if (!signal.aborted) onPostHook?.(error);
    }
  }

  #run(
    name: 'BACKUP_PRE_HOOK' | 'BACKUP_POST_HOOK',
    command: string,
    more: HookEnvironment,
    signal: AbortSignal,
  ): Promise<void> {
    const { config, engine, clock, log } = this.#deps;
    const environment = {
      DROPBACK_HOOK: name,
      DROPBACK_NAME: config.name,
      DROPBACK_DATABASE: engine.description,
      ...more,
    };
    const { timeoutMs } = config.hooks;
    const { secrets } = config.alerts;
    return runHook(name, command, { environment, timeoutMs, clock, log, secrets }, signal);
  }

  #describe(end: RunEnd): HookEnvironment {
    if ('error' in end) {
      const { code, message } = errorReport(end.error);
      return { DROPBACK_OUTCOME: 'failed', DROPBACK_ERROR_CODE: code, DROPBACK_ERROR: message };
    }
    const { id, archive } = end.manifest;
    return {
      DROPBACK_OUTCOME: 'done',
      DROPBACK_BACKUP_ID: id,
      DROPBACK_ARCHIVE: this.#deps.local.archivePath(end.manifest),
      DROPBACK_BYTES: String(archive.bytes),
    };
  }
}
