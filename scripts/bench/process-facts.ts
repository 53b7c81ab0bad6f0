import { readFileSync } from 'node:fs';

const TICKS_PER_SECOND = 100;

/** Resident memory of a process now, and the most that it ever was; megabytes. */
export function residentMb(pid: number): { readonly now: number; readonly most: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const megabytes = (name: string) => {
    const line = new RegExp(`^${name}:\\s*(\\d+) kB`, 'm').exec(status);
    return (Number(line?.[1] ?? Number.NaN) * 1024) / 1e6;
  };
  return { now: megabytes('VmRSS'), most: megabytes('VmHWM') };
}

/** Seconds of processor time, user and system, all threads together. */
export function processorSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** The most of a process that ends by itself: looked at now and then, since afterwards it is gone. */
export class PeakWatch implements Disposable {
  #mostMb: number | undefined;
  readonly #timer: NodeJS.Timeout;

  constructor(pid: number) {
    this.#timer = setInterval(() => {
      try {
        const { most } = residentMb(pid);
        // One that has ended and isn't buried yet has none.
        if (!Number.isNaN(most)) this.#mostMb = most;
      } catch {
        // It has ended; what was seen last counts.
      }
    }, 100);
  }

  /** Undefined where it was too quick to be seen. */
  get mostMb(): number | undefined {
    return this.#mostMb;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
