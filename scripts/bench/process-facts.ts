import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

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

/** What a daemon and the processes of Node that it started have resident together now; megabytes. */
function withHelpersMb(pid: number): number {
  const executable = readlinkSync(`/proc/${pid}/exe`);
  const sizes = childrenOf(pid).map((child) => {
    try {
      const isNode = readlinkSync(`/proc/${child}/exe`) === executable;
      return isNode ? residentMb(child).now || 0 : 0;
    } catch {
      // Gone meanwhile.
      return 0;
    }
  });
  return sizes.reduce((sum, size) => sum + size, residentMb(pid).now);
}

/** Linux lists them itself only where CRIU is built in. */
function childrenOf(pid: number): number[] {
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return all.map(Number).filter((one) => {
    try {
      const stat = readFileSync(`/proc/${one}/stat`, 'latin1');
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === pid;
    } catch {
      return false;
    }
  });
}

const LOOK_EVERY_MS = 100;
/** Looking at every process takes time from what is measured. */
const HELPERS_EVERY = 5;

/** The most of a process that ends by itself: looked at now and then, since afterwards it is gone. */
export class PeakWatch implements Disposable {
  #mostMb: number | undefined;
  #mostWithHelpersMb: number | undefined;
  readonly #timer: NodeJS.Timeout;

  constructor(pid: number) {
    let looks = 0;
    this.#timer = setInterval(() => {
      try {
        const { most } = residentMb(pid);
        // One that has ended and isn't buried yet has none.
        if (Number.isNaN(most)) return;
        this.#mostMb = most;
        looks += 1;
        if (looks % HELPERS_EVERY > 0) return;
        const together = withHelpersMb(pid);
        // It may have ended since the first look.
        if (Number.isNaN(together)) return;
        this.#mostWithHelpersMb = Math.max(this.#mostWithHelpersMb ?? 0, together);
      } catch {
        // It has ended; what was seen last counts.
      }
    }, LOOK_EVERY_MS);
  }

  /** Undefined where it was too quick to be seen. */
  get mostMb(): number | undefined {
    return this.#mostMb;
  }

  /** The same with its processes of Node, all at the same time. */
  get mostWithHelpersMb(): number | undefined {
    return this.#mostWithHelpersMb;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
