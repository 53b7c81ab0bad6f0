import { readdirSync, readFileSync } from 'node:fs';

export interface FoundProcess {
  readonly pid: number;
  /** Of the process's parents, the nearest that is in the tree; 0 for the root. */
  readonly parent: number;
  readonly name: string;
}

/** A process and everything below it, as far as they run right now. */
export function processTree(root: number): FoundProcess[] {
  const all = new Map<number, FoundProcess>();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const found = look(Number(pid));
    if (found) all.set(found.pid, found);
  }
  const isBelow = ({ pid, parent }: FoundProcess): boolean => {
    if (pid === root) return true;
    const above = all.get(parent);
    return above !== undefined && isBelow(above);
  };
  return [...all.values()].filter(isBelow);
}

export function isRunning(pid: number): boolean {
  return look(pid) !== undefined;
}

/** Undefined for what has ended, though its parent has not asked yet. */
function look(pid: number): FoundProcess | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [, name = '', state, parent] = /^\d+ \((.*)\) (\S) (\d+)/s.exec(stat) ?? [];
    return state === 'Z' ? undefined : { pid, parent: Number(parent), name };
  } catch {
    return undefined;
  }
}
