import type { HooksConfig } from '../core/config/config.ts';
import { type HookEnvironment, type HookName, runHook } from '../core/hooks/hook.ts';
import type { RestoreOutcome } from '../core/requests/report.ts';
import type { Clock } from '../core/runtime/clock.ts';
import { type DropbackError, isAbort, messageOf } from '../core/runtime/errors.ts';
import type { Job } from './job.ts';

/** RESTORE_PRE_HOOK and RESTORE_POST_HOOK, around what changes the live database. */
export class RestoreHooks {
  readonly #config: HooksConfig | undefined;
  readonly #database: string;
  readonly #clock: Clock;
  readonly #secrets: readonly string[];

  constructor(
    config: HooksConfig | undefined,
    database: string,
    clock: Clock,
    secrets: readonly string[],
  ) {
    this.#secrets = secrets;
    this.#config = config;
    this.#database = database;
    this.#clock = clock;
  }

  /**
   * Just before the lock and the first stop; once more in each further attempt. Throws what refuses
   * the restore: `hook/failed`, `hook/timed-out`; `run/aborted`.
   */
  async before(job: Job, signal: AbortSignal): Promise<void> {
    const command = this.#config?.pre;
    if (command === undefined || !changesLive(job)) return;
    job.say('running RESTORE_PRE_HOOK');
    await this.#run('RESTORE_PRE_HOOK', command, job, {}, signal);
  }

  /**
   * When everything is decided and the application was started; again where the daemon died before
   * the end was noted. Throws only `run/aborted`: what fails is a warning in the report.
   */
  async after(
    job: Job,
    outcome: RestoreOutcome,
    error: DropbackError | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const command = this.#config?.post;
    if (command === undefined || !changesLive(job)) return;
    const { downtimeMs } = job.record;
    const more = {
      DROPBACK_OUTCOME: outcome,
      ...(downtimeMs === undefined ? {} : { DROPBACK_DOWNTIME_MS: String(downtimeMs) }),
      ...(error ? { DROPBACK_ERROR_CODE: error.code, DROPBACK_ERROR: error.message } : {}),
    };
    try {
      await this.#run('RESTORE_POST_HOOK', command, job, more, signal);
    } catch (thrown) {
      if (isAbort(thrown)) throw thrown;
      job.warn(`RESTORE_POST_HOOK failed: ${messageOf(thrown)}`);
    }
  }

  #run(
    name: HookName,
    command: string,
    job: Job,
    more: HookEnvironment,
    signal: AbortSignal,
  ): Promise<void> {
    const environment = {
      DROPBACK_HOOK: name,
      DROPBACK_DATABASE: this.#database,
      DROPBACK_RESTORE_ID: job.description.id,
      DROPBACK_KIND: job.description.kind,
      DROPBACK_SOURCE: job.description.name,
      ...more,
    };
    const timeoutMs = this.#config?.timeoutMs ?? 0;
    const about = { clock: this.#clock, log: job.log, secrets: this.#secrets };
    return runHook(name, command, { environment, timeoutMs, ...about }, signal);
  }
}

/** A check and a side target leave the application alone, and so do their hooks. */
function changesLive({ description: { kind, target } }: Job): boolean {
  return kind !== 'check' && target.kind === 'live';
}
