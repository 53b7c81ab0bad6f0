import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Peaks of a process, read from /proc while it runs. Bytes. */
export interface Peaks {
  /** Of the process itself, as the kernel kept it (VmHWM). */
  readonly own: number;
  /** Private memory of the process and all its descendants together, as sampled. */
  readonly tree: number;
}

/** Watches a process until stopped; the kernel keeps the peak, so that no sample can miss it. */
export class MemoryWatch {
  readonly #pid: number;
  readonly #end = new AbortController();
  readonly #done: Promise<void>;
  #own = 0;
  #tree = 0;

  constructor(pid: number) {
    this.#pid = pid;
    this.#done = this.#watch();
  }

  /** To be called while the process is still there. */
  async stop(): Promise<Peaks> {
    this.#look();
    this.#end.abort();
    await this.#done;
    return { own: this.#own, tree: this.#tree };
  }

  async #watch(): Promise<void> {
    while (!this.#end.signal.aborted) {
      this.#look();
      await sleep(100, undefined, { signal: this.#end.signal }).catch(() => {});
    }
  }

  #look(): void {
    this.#own = Math.max(this.#own, field(this.#pid, 'status', 'VmHWM'));
    const sum = familyOf(this.#pid).reduce((total, pid) => total + privateBytes(pid), 0);
    this.#tree = Math.max(this.#tree, sum);
  }
}

function privateBytes(pid: number): number {
  return field(pid, 'smaps_rollup', 'Private_Dirty') + field(pid, 'smaps_rollup', 'Private_Clean');
}

/** A line of kilobytes; 0 where the process has gone. */
function field(pid: number, file: 'status' | 'smaps_rollup', name: string): number {
  try {
    const text = readFileSync(`/proc/${pid}/${file}`, 'latin1');
    return Number(new RegExp(`^${name}:\\s*(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

function familyOf(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'latin1');
      parents.set(Number(entry), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
    } catch {
      // It has gone in the meantime.
    }
  }
  const family = [pid];
  for (const member of family) {
    for (const [child, parent] of parents) if (parent === member) family.push(child);
  }
  return family;
}
