#!/usr/bin/env node
import { serveBackup } from '../backup/serve.ts';
import { backupEachOnce, serveBackups } from '../backup/serve-several.ts';
import { wireBackup } from '../backup/wire.ts';
import { loadBackupConfigs } from '../core/config/load.ts';
import { createLogger } from '../core/observability/log.ts';
import { LogTail } from '../core/observability/log-tail.ts';
import { runMain } from '../core/runtime/main.ts';
import { readArguments } from './arguments.ts';

await runMain(async (signal) => {
  const flags = readArguments(process.argv.slice(2), {
    program: 'db-backup',
    summary: 'Backs up databases on a schedule, until it is stopped.',
    flags: { '--once': 'make one backup of each, then exit: 0, or non-zero with the reason' },
  });
  if (!flags) return 0;
  const databases = loadBackupConfigs();
  const [config] = databases.all;
  const logTail = new LogTail();
  const log = createLogger({ ...config.log, program: 'db-backup', tail: logTail });
  if (databases.areSeveral) {
    await (flags.has('--once') ? backupEachOnce : serveBackups)(databases, log, signal);
    return 0;
  }
  await using wired = await wireBackup(config, log, logTail);
  for (const warning of config.warnings) log.warn(warning);
  if (flags.has('--once')) await wired.single.execute(signal);
  else await serveBackup(wired, config, log, signal);
  return 0;
});
