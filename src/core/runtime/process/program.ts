import { readFileSync } from 'node:fs';
import { minimalEnvironment, nodeEnvironment } from '../../config/host.ts';
import { findProgram } from './find-program.ts';

/** A native program to start. Secrets go into `environment`, never into `args`. */
export interface Program {
  /** Short name for messages, for example `pg_dump`. */
  readonly name: string;
  /** Absolute path. */
  readonly file: string;
  readonly args: readonly string[];
  /** Added to the minimal environment (PATH, LC_ALL, HOME, TZ). */
  readonly environment?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Descriptors that it inherits, as 3, 4 and so on: `/dev/fd/3` in its arguments. */
  readonly files?: readonly number[];
  /** Start as this user instead of the daemon's; needs CAP_SETUID and CAP_SETGID. */
  readonly runAs?: UserIdentity;
  /** CPU niceness, 0 to 19; with it the lowest best-effort I/O priority. */
  readonly nice?: number;
  /** What the kernel lets it have, for programs that read what nobody vouches for. */
  readonly limits?: ProgramLimits;
  /** It starts processes of its own: they are to end with us, too. Not together with `runAs`. */
  readonly forks?: boolean;
  /** Lines of its standard error that say how far it is: never among the last ones, which say what failed. */
  readonly isProgress?: (line: string) => boolean;
  /** Exit codes that count as success. Default: 0 alone. */
  readonly successCodes?: readonly number[];
}

export interface ProgramLimits {
  /** Address space, of each process of it. Not for Node, which reserves far more than it uses. */
  readonly addressBytes?: number;
  /** Memory of its own, without what it only reserves. */
  readonly dataBytes?: number;
  /** The largest file that it may write; beyond, it is ended by SIGXFSZ (Node sees an error). */
  readonly fileBytes?: number;
}

export interface UserIdentity {
  readonly uid: number;
  readonly gid: number;
}

/** The identity that a program needs, or undefined when the daemon already has it. */
export function identityUnlessOurs(owner: UserIdentity): UserIdentity | undefined {
  const ours = process.geteuid?.() === owner.uid && process.getegid?.() === owner.gid;
  return ours ? undefined : { uid: owner.uid, gid: owner.gid };
}

export interface LaunchLine {
  readonly file: string;
  readonly args: string[];
  readonly environment: Record<string, string>;
}

/**
 * The command line that is really executed: `setpriv` in front takes every capability away, changes
 * the user where asked, and ties the program's life to ours (a SIGKILL of the daemon must not leave
 * a dump behind that goes on reading the database). `prlimit` behind it sets the limits, and allows
 * no core file: there would be data in it. Systems without these two start it bare.
 */
export function launchLine(program: Program): LaunchLine {
  const line: string[] = [];
  const setpriv = findProgram('setpriv');
  if (setpriv) {
    line.push(setpriv, '--pdeathsig', 'KILL', '--inh-caps=-all', '--ambient-caps=-all');
    if (program.runAs) {
      const { uid, gid } = program.runAs;
      line.push(`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups');
    } else if (hasFurtherGroups() && maySetGroups()) {
      // The group that opens Docker's socket is the daemon's alone.
      line.push('--clear-groups');
    }
    line.push('--');
  }
  if (program.nice !== undefined && program.nice > 0) {
    const ionice = findProgram('ionice');
    if (ionice) line.push(ionice, '-c', '2', '-n', '7');
    const nice = findProgram('nice');
    if (nice) line.push(nice, '-n', String(program.nice));
  }
  const prlimit = program.limits && findProgram('prlimit');
  if (program.limits && prlimit) line.push(prlimit, ...limitArguments(program.limits), '--');
  line.push(program.file, ...program.args);
  const [file, ...args] = line as [string, ...string[]];
  const own = program.file === process.execPath ? nodeEnvironment() : {};
  return { file, args, environment: { ...minimalEnvironment(), ...own, ...program.environment } };
}

function limitArguments({ addressBytes, dataBytes, fileBytes }: ProgramLimits): string[] {
  const limit = (name: string, value: number | undefined) =>
    value === undefined ? [] : [`--${name}=${value}:${value}`];
  return [
    ...limit('core', 0),
    ...limit('as', addressBytes),
    ...limit('data', dataBytes),
    ...limit('fsize', fileBytes),
  ];
}

function hasFurtherGroups(): boolean {
  return process.getgroups?.().some((group) => group !== process.getegid?.()) ?? false;
}

/** CAP_SETGID, as the image's entrypoint gives it. */
const CAP_SETGID = 1n << 6n;

function maySetGroups(): boolean {
  try {
    const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(
      readFileSync('/proc/self/status', 'utf8'),
    )?.[1];
    return effective !== undefined && (BigInt(`0x${effective}`) & CAP_SETGID) !== 0n;
  } catch {
    return false;
  }
}
