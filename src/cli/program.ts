import { Command, CommanderError, Option } from 'commander';
import { EXIT_CONFIG, explainConfigError } from '../core/config/problems.ts';
import { dropbackVersion } from '../core/config/version.ts';
import { exitCodeOf } from '../core/requests/protocol.ts';
import { errorReport, isAbort } from '../core/runtime/errors.ts';
import { EXIT_USAGE } from '../core/runtime/main.ts';
import { alert } from './commands/alert.ts';
import { backup } from './commands/backup.ts';
import { doctor } from './commands/doctor.ts';
import { list } from './commands/list.ts';
import { previous } from './commands/previous.ts';
import { prune } from './commands/prune.ts';
import { check, restore, undo } from './commands/restore.ts';
import { status } from './commands/status.ts';
import { verify } from './commands/verify.ts';
import type { CliContext } from './context.ts';
import { forChosen, runForEach } from './databases.ts';
import { DAEMONS } from './own-container.ts';
import { printError } from './terminal.ts';

/** Runs one command line; returns the exit code. */
export async function runCli(
  argv: readonly string[],
  base: Omit<CliContext, 'setExitCode'>,
): Promise<number> {
  let exitCode = 0;
  const context: CliContext = {
    ...base,
    setExitCode: (code) => {
      exitCode = code;
    },
  };
  const program = buildProgram(context);
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return exitCode;
  } catch (error) {
    return exitCodeFor(error, context);
  }
}

function exitCodeFor(error: unknown, { terminal, signal }: CliContext): number {
  // commander has printed its own message (or the help) already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
  const problems = explainConfigError(error);
  if (problems) {
    terminal.err(problems);
    return EXIT_CONFIG;
  }
  if (isAbort(error) && signal.aborted) return 130;
  const report = errorReport(error);
  printError(terminal, report);
  return exitCodeOf(report.code);
}

function buildProgram(context: CliContext): Command {
  const { terminal } = context;
  const program = new Command('dropback')
    .description('Backups that are proven, restores that cannot go half way.')
    .version(dropbackVersion)
    .exitOverride()
    .showHelpAfterError('(see `dropback --help`)')
    .configureOutput({
      writeOut: (text) => terminal.out(text.trimEnd()),
      writeErr: (text) => terminal.err(text.trimEnd()),
    });
  const json = ['--json', 'print JSON'] as const;
  const each = ['--database <name>', 'of several (DATABASES_FILE) only this one'] as const;
  const one = ['--database <name>', 'which one, of several (DATABASES_FILE)'] as const;
  const force = [
    '--force',
    'restore even if it looks like the dump of another application',
  ] as const;

  program
    .command('backup')
    .description('make a backup now, verify it, upload it')
    .option(...json)
    .option(...each)
    .action((options) => runForEach(options, context, (own) => backup(options, own)));
  program
    .command('list')
    .description('backups, local and in S3')
    .option(...json)
    .addOption(new Option('--store <store>', 'only this one').choices(['local', 's3']))
    .option(...each)
    .action((options) => runForEach(options, context, (own) => list(options, own)));
  program
    .command('verify')
    .description(
      'are the backups still whole? Reads every byte, local and in S3; --restore restores',
    )
    .argument('[id | latest]', 'default: latest')
    .option('--all', 'every backup')
    .option('--restore', 'also restore it into a scratch database, and compare')
    .addOption(new Option('--store <store>', 'only this one').choices(['local', 's3']))
    .option(...json)
    .option(...each)
    .action((id, options) => runForEach(options, context, (own) => verify(id, options, own)));
  program
    .command('prune')
    .description('remove what no retention rule keeps; --dry-run tells what and why')
    .option('-n, --dry-run', 'print the plan, remove nothing')
    .option(...json)
    .option(...each)
    .action((options) => runForEach(options, context, (own) => prune(options, own)));
  program
    .command('status')
    .description(
      'how the backups stand, or what db-restore does; exits with 4 when somebody should look',
    )
    .addOption(new Option('--for <daemon>', 'of this one').choices(DAEMONS))
    .option(...json)
    .option(...each)
    .action((options) => status(options, context));
  program
    .command('restore')
    .description('restore a dump file or a backup; db-restore does it, this follows')
    .argument('<file | id | latest>')
    .option('--into <name>', 'into a side database (or file) of that name; nothing is swapped')
    .option('--globals', 'first make the roles of the backup that the server does not have')
    .option(...force)
    .option(...json)
    .option(...one)
    .action((source, options) => restore(source, options, forChosen(options, context)));
  program
    .command('check')
    .description('would this restore, and what would change? Loads it, checks it, swaps nothing')
    .argument('<file | id | latest>')
    .option(...force)
    .option(...json)
    .option(...one)
    .action((source, options) => check(source, options, forChosen(options, context)));
  program
    .command('undo')
    .description('bring the previous database back; what is live now becomes the previous one')
    .argument('[id]', 'of `dropback previous`; default: the newest')
    .option(...json)
    .option(...one)
    .action((id, options) => undo(id, options, forChosen(options, context)));
  program
    .command('previous')
    .description('databases that restores have replaced and that are still kept')
    .option(...json)
    .option(...each)
    .action((options) => runForEach(options, context, (own) => previous(options, own)));
  program
    .command('alert')
    .description('who is told when something fails; --test sends a message by each way')
    .option('--test', 'send one now')
    .option(...json)
    .option(...each)
    .action((options) => runForEach(options, context, (own) => alert(options, own)));
  program
    .command('doctor')
    .description('everything that could fail tonight, by real calls; non-zero if something would')
    .addOption(new Option('--for <daemon>', 'what one daemon needs').choices(DAEMONS))
    .option(...json)
    .option(...each)
    .action((options) => runForEach(options, context, (own) => doctor(options, own)));
  // Subcommands inherit neither exitOverride nor the output unless told.
  for (const command of program.commands) command.copyInheritedSettings(program);
  return program;
}
