import type { Clock } from '../runtime/clock.ts';
import { type ErrorReport, errorReport, isAbort } from '../runtime/errors.ts';
import type { HealthReport } from './health-server.ts';
import type { Logger } from './log.ts';

/** One database's daemon among several in this process. */
export interface Member {
  readonly name: string;
  readonly log: Logger;
  /** Until the signal fires; `tell` hands over how it is asked how it stands. */
  serve(signal: AbortSignal, tell: (report: () => HealthReport) => void): Promise<void>;
}

/** After a member's end it is begun again: at first so soon, later less often. Milliseconds. */
const FIRST_PAUSE_MS = 5000;
const LONGEST_PAUSE_MS = 300_000;

/**
 * Several daemons side by side. What ends one of them is told, ends none of the others, and it is
 * begun anew after a pause, as an engine does with a container.
 */
export class Supervisor {
  readonly #members: readonly Member[];
  readonly #program: string;
  readonly #clock: Clock;
  readonly #reports = new Map<string, () => HealthReport>();
  readonly #errors = new Map<string, ErrorReport>();

  constructor(program: string, members: readonly Member[], clock: Clock) {
    this.#program = program;
    this.#members = members;
    this.#clock = clock;
  }

  /** Until the signal fires and all of them have ended. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#members.map((member) => this.#keepUp(member, signal)));
  }

  /** Live and ready when all of them are; `/status` has each by its name. */
  report(): HealthReport {
    const reports = this.#members.map(({ name }) => [name, this.#reportOf(name)] as const);
    const not = (which: 'live' | 'ready') =>
      reports.filter(([, report]) => !report[which]).map(([name]) => name);
    const notLive = not('live');
    const notReady = not('ready');
    const offered = reports.flatMap(([, { alerts }]) => (alerts ? [alerts] : []));
    const busy = reports.find(([, report]) => report.public?.state === 'restoring')?.[1].public;
    const isPublic = busy ?? reports.find(([, report]) => report.public)?.[1].public;
    const databases = reports.map(([name, { live, ready, status }]) => [
      name,
      { live, ready, ...status },
    ]);
    return {
      live: notLive.length === 0,
      ready: notReady.length === 0,
      notLive,
      notReady,
      status: {
        program: this.#program,
        notLive,
        notReady,
        databases: Object.fromEntries(databases),
      },
      ...(isPublic ? { public: isPublic } : {}),
      ...(offered.length > 0 ? { alerts: () => offered.flatMap((alerts) => alerts()) } : {}),
    };
  }

  /** Undefined for one that isn't among them. */
  reportOf(name: string): HealthReport | undefined {
    return this.#members.some((member) => member.name === name) ? this.#reportOf(name) : undefined;
  }

  #reportOf(name: string): HealthReport {
    const error = this.#errors.get(name);
    if (error) return { live: false, ready: false, status: { state: 'ended', error } };
    const report = this.#reports.get(name);
    return report ? report() : { live: true, ready: false, status: { state: 'starting' } };
  }

  async #keepUp(member: Member, signal: AbortSignal): Promise<void> {
    const { name, log } = member;
    for (let pauseMs = FIRST_PAUSE_MS; !signal.aborted; ) {
      const begun = this.#clock.monotonic();
      try {
        this.#errors.delete(name);
        // What the one before told is no longer true.
        this.#reports.delete(name);
        await member.serve(signal, (report) => this.#reports.set(name, report));
        if (signal.aborted) return;
        throw new Error('it ended by itself');
      } catch (error) {
        if (signal.aborted && isAbort(error)) return;
        this.#errors.set(name, errorReport(error));
        log.fatal({ error, againInMs: pauseMs }, "this database's daemon ended; the others go on");
      }
      const lasted = this.#clock.monotonic() - begun;
      await this.#clock.sleep(pauseMs, signal).catch(() => {});
      pauseMs =
        lasted > LONGEST_PAUSE_MS ? FIRST_PAUSE_MS : Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
    }
  }
}
