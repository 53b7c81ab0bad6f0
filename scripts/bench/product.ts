import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Bench, Daemon } from '../../test/support/daemon.ts';
import { root } from '../setup.mjs';
import { PeakWatch } from './process-facts.ts';

const entrypoint = readFileSync(join(root, 'docker', 'entrypoint.sh'), 'utf8');
const nodeOptions = /^\s*exec node ((?:--\S+ )+)\$\{wait/m.exec(entrypoint)?.[1]?.trim().split(' ');

/** As the image starts a daemon: Node's options are those of its entry point. */
export function startProgram(
  folder: string,
  program: 'db-backup' | 'db-restore',
  environment: Readonly<Record<string, string>>,
  { args = [], cores }: { readonly args?: readonly string[]; readonly cores?: string } = {},
): Daemon {
  if (!nodeOptions) throw new Error('docker/entrypoint.sh starts Node in another way');
  const limited = cores === undefined ? [] : ['taskset', '--cpu-list', cores];
  const command = [...limited, process.execPath, ...nodeOptions, join(folder, `${program}.js`)];
  return new Daemon(program, { MALLOC_ARENA_MAX: '1', ...environment }, args, command);
}

export interface BackupTimes {
  /** From the lock to the list. */
  readonly seconds: number;
  readonly bytes: number;
  /** dump, readBack, publish, and until it is uploaded: seconds. The daemon's peak: megabytes. */
  readonly facts: Readonly<Record<string, number>>;
}

/** One backup, by `db-backup --once`; it is gone afterwards. */
export async function backUpOnce(
  folder: string,
  bench: Bench,
  environment: Readonly<Record<string, string>>,
  cores?: string,
): Promise<BackupTimes> {
  const told = bench.environment(environment);
  const limited = cores === undefined ? {} : { cores };
  await using daemon = startProgram(folder, 'db-backup', told, { args: ['--once'], ...limited });
  using peak = new PeakWatch(daemon.pid);
  const { code } = await daemon.exited;
  if (code !== 0) throw new Error(`db-backup ended with ${code}:\n${daemon.output}`);
  const started = timeOf(logLine(daemon, 'backup started'));
  const listed = logLine(daemon, 'backup listed');
  const uploaded = daemon.lines.find((line) => line.includes('"msg":"uploaded"'));
  const ms = listed['ms'] as Readonly<Record<string, number>>;
  return {
    seconds: (timeOf(listed) - started) / 1000,
    bytes: Number(listed['bytes']),
    facts: {
      ...Object.fromEntries(Object.entries(ms).map(([step, value]) => [step, value / 1000])),
      ...(peak.mostMb === undefined ? {} : { residentMb: peak.mostMb }),
      ...(peak.mostWithHelpersMb === undefined ? {} : { withHelpersMb: peak.mostWithHelpersMb }),
      ...(uploaded ? { uploaded: (timeOf(parse(uploaded)) - started) / 1000 } : {}),
    },
  };
}

type LogLine = Readonly<Record<string, unknown>>;

export function logLine(daemon: Daemon, message: string): LogLine {
  const line = daemon.lines.find((entry) => entry.includes(`"msg":"${message}"`));
  if (line === undefined) throw new Error(`the log has no "${message}":\n${daemon.output}`);
  return parse(line);
}

/** Milliseconds since 1970. */
export function timeOf(line: LogLine): number {
  return Date.parse(String(line['time']));
}

function parse(line: string): LogLine {
  return JSON.parse(line) as LogLine;
}
