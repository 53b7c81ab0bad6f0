import { join } from 'node:path';
import type { StepContext } from '../core/engines/engine.ts';
import type { Logger } from '../core/observability/log.ts';
import { throwIfAborted } from '../core/runtime/errors.ts';
import type { JobDescription, JobRecord, StepName } from './journal/record.ts';
import type { MachineParts } from './parts.ts';

export interface JobProgress {
  readonly step: StepName;
  /** Of the step, 0 to 1. */
  readonly fraction?: number;
  readonly message: string;
}

export type OnProgress = (progress: JobProgress) => void;

const MESSAGES: Readonly<Record<StepName, string>> = {
  claim: 'taking the file in',
  inspect: 'reading the whole file',
  stage: 'loading beside the live database',
  check: 'checking what was loaded',
  stop: "stopping the application's containers",
  swap: 'swapping the databases',
  start: "starting the application's containers",
  'file-away': 'filing away',
};

/** Where nothing is configured to be stopped or started. */
const WITHOUT_CONTAINERS: Partial<Record<StepName, string>> = {
  stop: 'no containers are to be stopped',
  start: 'no containers are to be started',
};

/** A restore beside the live database swaps nothing. */
const BESIDE = 'giving the database its name';

export function newRecord(job: JobDescription): JobRecord {
  const done = { swapped: false, steps: [], warnings: [] } as const;
  return { job, attempt: 1, step: 'claim', phase: 'intent', ...done };
}

/** A job in hand: its record is durable in the journal before and after each step. */
export class Job {
  readonly log: Logger;
  readonly #parts: MachineParts;
  readonly #onProgress: OnProgress;
  #record: JobRecord;

  constructor(record: JobRecord, parts: MachineParts, onProgress: OnProgress) {
    this.#record = record;
    this.#parts = parts;
    this.#onProgress = onProgress;
    this.log = parts.log.child({ restore: record.job.id, file: record.job.name });
  }

  get record(): JobRecord {
    return this.#record;
  }

  get description(): JobDescription {
    return this.#record.job;
  }

  get workFolder(): string {
    return join(this.#parts.folders.work, this.description.id);
  }

  /** Makes a change of the record durable. `name` is for crash tests. */
  async save(change: Partial<JobRecord>, name: string): Promise<void> {
    const next = { ...this.#record, ...change };
    await this.#parts.journal.write(next, name);
    this.#record = next;
  }

  /** Durable with the next write. */
  warn(...warnings: readonly string[]): void {
    const fresh = warnings.filter((warning) => !this.#record.warnings.includes(warning));
    for (const warning of fresh) this.log.warn(warning);
    this.#record = { ...this.#record, warnings: [...this.#record.warnings, ...fresh] };
  }

  /** Known from now on; durable with the next write. */
  note(change: Partial<JobRecord>): void {
    this.#record = { ...this.#record, ...change };
  }

  /**
   * Intent before, result after. What the step returns is part of the result's write; the time that
   * it took enters the report also when it fails.
   */
  async step(
    name: StepName,
    signal: AbortSignal,
    work: () => Promise<Partial<JobRecord>>,
  ): Promise<void> {
    throwIfAborted(signal);
    await this.save({ step: name, phase: 'intent' }, `intent ${name}`);
    const message = this.#messageOf(name);
    this.#onProgress({ step: name, message });
    this.log.info({ step: name }, message);
    await this.#parts.checkpoint(`before step ${name}`);
    const since = this.#parts.clock.monotonic();
    let result: Partial<JobRecord>;
    try {
      result = await work();
    } finally {
      const durationMs = Math.round(this.#parts.clock.monotonic() - since);
      const steps = [...this.#record.steps, { name, durationMs }];
      this.#record = { ...this.#record, steps };
    }
    await this.#parts.checkpoint(`after step ${name}`);
    await this.save({ ...result, phase: 'done' }, `result ${name}`);
  }

  /** What the engine gets for its part of a step. */
  context(signal: AbortSignal): StepContext {
    return {
      signal,
      log: this.log,
      progress: (fraction) => {
        const { step } = this.#record;
        this.#onProgress({ step, fraction, message: this.#messageOf(step) });
      },
      save: (state) => this.save({ state }, 'engine state'),
    };
  }

  #messageOf(step: StepName): string {
    const none = this.#parts.application.isConfigured ? undefined : WITHOUT_CONTAINERS[step];
    const isBeside = step === 'swap' && this.description.target.kind !== 'live';
    return none ?? (isBeside ? BESIDE : MESSAGES[step]);
  }

  say(message: string): void {
    this.#onProgress({ step: this.#record.step, message });
  }
}
