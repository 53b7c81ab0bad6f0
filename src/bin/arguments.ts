import { dropbackVersion } from '../core/config/version.ts';
import { DropbackError } from '../core/runtime/errors.ts';

/** What a daemon takes beside its environment. */
export interface DaemonUsage {
  readonly program: 'db-backup' | 'db-restore';
  readonly summary: string;
  /** Flag → what it does. */
  readonly flags: Readonly<Record<string, string>>;
}

/**
 * The flags that are given; undefined where `--help` or `--version` was asked for and has been
 * printed. Throws `cli/usage` for anything else.
 */
export function readArguments(
  args: readonly string[],
  usage: DaemonUsage,
): ReadonlySet<string> | undefined {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(`${usageText(usage)}\n`);
    return undefined;
  }
  if (args.includes('--version') || args.includes('-V')) {
    process.stdout.write(`${dropbackVersion}\n`);
    return undefined;
  }
  const unknown = args.filter((arg) => !Object.hasOwn(usage.flags, arg));
  if (unknown.length === 0) return new Set(args);
  throw new DropbackError('cli/usage', `unknown argument: ${unknown.join(' ')}`, {
    hint: usageText(usage),
  });
}

function usageText({ program, summary, flags }: DaemonUsage): string {
  const all = { ...flags, '--help': 'print this', '--version': 'print the version' };
  const lines = Object.entries(all).map(([flag, what]) => `  ${flag.padEnd(9)}  ${what}`);
  const names = Object.keys(all).map((flag) => `[${flag}]`);
  return [
    `usage: ${program} ${names.join(' ')}`,
    summary,
    ...lines,
    'Everything else is told by environment variables: see the README.',
  ].join('\n');
}
