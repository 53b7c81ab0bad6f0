import { readdirSync, readFileSync } from 'node:fs';

export interface FoundProgram {
  readonly pid: number;
  readonly commandLine: string;
}

/** Programs of this machine whose environment has this line, for example `PGDATABASE=app`. */
export function programsWith(line: string): FoundProgram[] {
  const found: FoundProgram[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (!readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(line)) continue;
      const commandLine = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      found.push({ pid: Number(pid), commandLine });
    } catch {
      // It has ended meanwhile.
    }
  }
  return found;
}
