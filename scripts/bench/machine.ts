import { execFileSync } from 'node:child_process';
import { readFileSync, statfsSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

/** What figures mean nothing without. */
export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly system: string;
  readonly freeDiskGb: number;
  /** Cores that others kept busy before the run: above 0.5 the figures are doubtful. */
  readonly loadBefore?: number;
  /** Program → version. */
  readonly versions: Readonly<Record<string, string>>;
}

const PROGRAMS: Readonly<Record<string, readonly string[]>> = {
  zstd: ['--version'],
  gzip: ['--version'],
  sqlite3: ['--version'],
  rclone: ['version'],
  aws: ['--version'],
  age: ['--version'],
};

export function describeMachine(
  folder: string,
  postgres: string | undefined,
): Omit<Machine, 'loadBefore'> {
  const disk = statfsSync(folder);
  const versions = Object.entries(PROGRAMS).map(
    ([name, args]) => [name, versionOf(name, args)] as const,
  );
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGb: Math.round(totalmem() / 1e9),
    system: `${distribution()}, kernel ${release().replace(/-.*/, '')}`,
    freeDiskGb: Math.round((disk.bavail * disk.bsize) / 1e9),
    versions: {
      node: process.versions.node,
      ...(postgres === undefined ? {} : { PostgreSQL: postgres }),
      ...Object.fromEntries(versions.filter(([, version]) => version !== '')),
    },
  };
}

const WATCHED_MS = 3000;

/** Cores that are busy now, as seen for a while: the load average still tells of what is over. */
export async function busyCores(): Promise<number> {
  const [before, since] = [busySeconds(), performance.now()];
  await sleep(WATCHED_MS);
  return (busySeconds() - before) / ((performance.now() - since) / 1000);
}

/** Processor time of everything on this machine since it was started, save what lets others go first. */
export function cpuSeconds(): number {
  const [user = 0, , system = 0, , , irq = 0, softirq = 0] = cpuTicks();
  // What /proc tells is in hundredths, whatever the kernel's own clock is.
  return (user + system + irq + softirq) / 100;
}

/** The same with what lets others go first, and what the host took for other guests. */
function busySeconds(): number {
  const ticks = cpuTicks();
  return cpuSeconds() + ((ticks[1] ?? 0) + (ticks[7] ?? 0)) / 100;
}

function cpuTicks(): number[] {
  try {
    const line = readFileSync('/proc/stat', 'latin1').split('\n', 1)[0] ?? '';
    return line.split(/\s+/).slice(1).map(Number);
  } catch {
    return [];
  }
}

function versionOf(program: string, args: readonly string[]): string {
  try {
    const printed = execFileSync(program, args, { encoding: 'utf8', stdio: 'pipe' });
    return /\d+\.\d+(\.\d+)?/.exec(printed)?.[0] ?? '';
  } catch {
    return '';
  }
}

function distribution(): string {
  try {
    const text = readFileSync('/etc/os-release', 'utf8');
    return /^PRETTY_NAME="?([^"\n]*)/m.exec(text)?.[1] ?? process.platform;
  } catch {
    return process.platform;
  }
}
