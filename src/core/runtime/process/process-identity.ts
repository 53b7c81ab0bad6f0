import { readFile, readlink } from 'node:fs/promises';
import { z } from 'zod';

/** One process, for a note that may outlive it: numbers of processes are given out again. */
export interface ProcessIdentity {
  readonly pid: number;
  /** In the kernel's ticks since its start. */
  readonly started: string;
  /** Where the number counts: this start of the machine, this container. */
  readonly realm: string;
}

export const processIdentity: z.ZodType<ProcessIdentity> = z.object({
  pid: z.int().positive(),
  started: z.string(),
  realm: z.string(),
});

/** Undefined where there is no /proc. */
export async function ownIdentity(): Promise<ProcessIdentity | undefined> {
  const [realm, started] = await Promise.all([ownRealm(), startOf(process.pid)]);
  if (realm === undefined || started === undefined) return undefined;
  return { pid: process.pid, started, realm };
}

/** `elsewhere`: in another container, or before the machine was started anew; it can't be told from here. */
export async function fateOf(known: ProcessIdentity): Promise<'runs' | 'gone' | 'elsewhere'> {
  if (known.realm !== (await ownRealm())) return 'elsewhere';
  return (await startOf(known.pid)) === known.started ? 'runs' : 'gone';
}

async function ownRealm(): Promise<string | undefined> {
  try {
    const boot = await readFile('/proc/sys/kernel/random/boot_id', 'latin1');
    return `${boot.trim()} ${await readlink('/proc/self/ns/pid')}`;
  } catch {
    return undefined;
  }
}

/** Undefined for one that is no more. */
async function startOf(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
  // Its name, in brackets, may hold anything; then state, and 18 further fields.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
}
