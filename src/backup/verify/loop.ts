import type { Manifest } from '../../core/archive/manifest.ts';
import { newestBackup, notAhead } from '../../core/archive/newest.ts';
import type { Verification } from '../../core/archive/state-file.ts';
import type { VerifyConfig } from '../../core/config/config.ts';
import type { Logger } from '../../core/observability/log.ts';
import type { RehearsedBackup, VerificationStatus } from '../../core/requests/backup-status.ts';
import type { Clock } from '../../core/runtime/clock.ts';
import { isAbort } from '../../core/runtime/errors.ts';
import { backoffDelay } from '../../core/runtime/retry.ts';
import type { Turnstile } from '../../core/runtime/turnstile.ts';
import type { LocalStore } from '../../core/stores/local/store.ts';
import { nextTime } from '../schedule.ts';
import { REMOVED } from './errors.ts';
import type { Verifier } from './verifier.ts';

export interface VerifyLoopDependencies {
  readonly verify: VerifyConfig;
  readonly local: LocalStore;
  readonly verifier: Verifier;
  readonly clock: Clock;
  readonly log: Logger;
  /** Where several databases are rehearsed: not all at once. */
  readonly turnstile?: Turnstile;
  /** Told when `status` says something new. */
  readonly onChange: () => void;
  /** Told what came of each rehearsal. */
  readonly onReport?: (report: RehearsedBackup) => void;
}

const BACKOFF = { firstMs: 60_000, mostMs: 3_600_000, attempts: Number.POSITIVE_INFINITY };
/** The wall clock may jump: it is looked at again at least this often. */
const LONGEST_NAP_MS = 60_000;
const SHORTEST_NAP_MS = 1000;

/**
 * Rehearses the newest backup, beside the schedule of backups: whenever there is a new one, or at the
 * times of BACKUP_VERIFY_CRON. Where backups come faster than they can be rehearsed, the ones in
 * between are passed over. One that could not be carried out is tried again with backoff.
 */
export class VerifyLoop {
  readonly #deps: VerifyLoopDependencies;
  #since: Date;
  #wake: AbortController = new AbortController();
  #state: VerificationStatus['state'] = 'idle';
  #lastGood: RehearsedBackup | undefined;
  #lastProblem: RehearsedBackup | undefined;
  #attempts = 0;
  #lastAttempt: Date | undefined;

  constructor(deps: VerifyLoopDependencies) {
    this.#deps = deps;
    this.#since = deps.clock.now();
  }

  /** A backup has been published. */
  wake(): void {
    this.#wake.abort();
  }

  status(): VerificationStatus {
    this.#followClock();
    const { schedule } = this.#deps.verify;
    const next = this.#retryAt() ?? (schedule && nextTime(schedule, this.#since));
    return {
      state: this.#state,
      ...(this.#lastGood ? { lastGood: this.#lastGood } : {}),
      ...(this.#lastProblem ? { lastProblem: this.#lastProblem } : {}),
      ...(next ? { nextAt: next.toISOString() } : {}),
    };
  }

  async run(signal: AbortSignal): Promise<void> {
    const { log } = this.#deps;
    try {
      await this.#readHistory(signal);
    } catch (error) {
      if (!isAbort(error)) log.warn({ error }, 'earlier verifications could not be read');
    }
    while (!signal.aborted) {
      this.#wake = new AbortController();
      let next: Date | undefined;
      try {
        next = await this.#round(signal);
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ error }, 'a rehearsal could not be begun');
      }
      const woken = AbortSignal.any([signal, this.#wake.signal]);
      await this.#deps.clock.sleep(this.#napUntil(next), woken).catch(() => {});
    }
  }

  /** When the next one is due; undefined: not before there is another backup. */
  async #round(signal: AbortSignal): Promise<Date | undefined> {
    const { local, clock } = this.#deps;
    this.#followClock();
    const newest = newestBackup((await local.list(signal)).backups, clock.now());
    if (!newest) return undefined;
    const due = await this.#dueAt(newest);
    if (!due || due > clock.now()) return due;
    return await this.#inTurn(async () => {
      // There may be a newer one when the turn has come.
      const backup = (await local.newest(clock.now())) ?? newest;
      await this.#rehearse(backup, signal);
      return await this.#dueAt(backup);
    }, signal);
  }

  /** Nothing waits for a time that was noted before the clock was set back. */
  #followClock(): void {
    const now = this.#deps.clock.now();
    this.#since = notAhead(this.#since, now);
    if (this.#lastAttempt) this.#lastAttempt = notAhead(this.#lastAttempt, now);
  }

  async #inTurn<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const { turnstile, onChange } = this.#deps;
    if (!turnstile) return await work();
    this.#state = 'waiting for its turn';
    onChange();
    try {
      return await turnstile.pass(work, signal);
    } finally {
      this.#state = 'idle';
    }
  }

  #napUntil(next: Date | undefined): number {
    const left = next ? next.getTime() - this.#deps.clock.now().getTime() : LONGEST_NAP_MS;
    return Math.min(LONGEST_NAP_MS, Math.max(SHORTEST_NAP_MS, left));
  }

  async #dueAt(newest: Manifest): Promise<Date | undefined> {
    const { verify, local, clock } = this.#deps;
    const retryAt = this.#retryAt();
    if (verify.schedule) return retryAt ?? nextTime(verify.schedule, this.#since);
    // Its state may have been impossible to write.
    const known = [this.#lastGood?.id, this.#lastProblem?.id].includes(newest.id);
    const { verifications } = await local.readState(newest.id);
    const isDone = verifications.some(isVerdict) || (known && this.#attempts === 0);
    return isDone ? undefined : (retryAt ?? clock.now());
  }

  #retryAt(): Date | undefined {
    if (this.#attempts === 0 || !this.#lastAttempt) return undefined;
    const delay = backoffDelay(BACKOFF, this.#attempts, () => 1);
    return new Date(this.#lastAttempt.getTime() + delay);
  }

  async #rehearse(newest: Manifest, signal: AbortSignal): Promise<void> {
    const { verifier, clock, log, onChange, onReport } = this.#deps;
    const { id } = newest;
    this.#state = 'running';
    this.#lastAttempt = clock.now();
    onChange();
    log.info({ id }, 'rehearsal started');
    try {
      const told = (message: string) => log.debug({ id }, message);
      const rehearsed = { manifest: newest, where: 'local', onSchedule: true } as const;
      const { bytes: _, warnings, ...report } = await verifier.rehearse(rehearsed, told, signal);
      if (report.error?.code === REMOVED) return log.info({ id }, 'it was removed meanwhile');
      this.#remember(report);
      onReport?.(report);
      for (const line of report.notCovered ?? []) log.warn({ id }, `not covered: ${line}`);
      for (const warning of warnings) log.warn({ id }, warning);
      const { tables, rows, durationMs } = report;
      if (report.status === 'ok') {
        const how = report.notCovered ? 'what was restored of it is as it was' : 'and it is whole';
        log.info({ id, tables, rows, ms: durationMs }, `restored as a test, ${how}`);
      }
    } finally {
      this.#state = 'idle';
      onChange();
    }
  }

  #remember(report: RehearsedBackup): void {
    if (isVerdict(report)) {
      this.#attempts = 0;
      this.#since = new Date(report.at);
    } else this.#attempts += 1;
    if (report.status === 'ok') {
      this.#lastGood = report;
      this.#lastProblem = undefined;
    } else if (report.status === 'failed' || this.#lastProblem?.status !== 'failed') {
      // That a bad backup was found outweighs that the next could not be looked at.
      this.#lastProblem = report;
    }
  }

  /** What the state files know, so that a restart forgets no finding. */
  async #readHistory(signal: AbortSignal): Promise<void> {
    const { local } = this.#deps;
    const all: RehearsedBackup[] = [];
    for (const { id } of (await local.list(signal)).backups) {
      const { verifications } = await local.readState(id);
      all.push(...verifications.filter(isVerdict).map((one) => ({ ...one, id })));
    }
    all.sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
    for (const one of all) this.#remember(one);
    this.#deps.onChange();
  }
}

function isVerdict({ kind, status }: Verification): boolean {
  return kind === 'restore' && (status === 'ok' || status === 'failed');
}
