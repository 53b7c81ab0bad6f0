#!/usr/bin/env node
import { serveBackup } from '../backup/serve.ts';
import { wireBackup } from '../backup/wire.ts';
import { loadBackupConfig } from '../core/config/load.ts';
import { createLogger } from '../core/observability/log.ts';
import { DropbackError } from '../core/runtime/errors.ts';
import { runMain } from '../core/runtime/main.ts';

await runMain(async (signal) => {
  const args = process.argv.slice(2);
  if (args.some((arg) => arg !== '--once')) {
    throw new DropbackError('cli/usage', `unknown argument: ${args.join(' ')}`, {
      hint: 'db-backup takes --once (one backup, then exit) or nothing; the rest is environment.',
    });
  }
  const config = loadBackupConfig();
  const log = createLogger({ ...config.log, program: 'db-backup' });
  await using wired = await wireBackup(config, log);
  if (args.includes('--once')) await wired.daemon.once(signal);
  else await serveBackup(wired, config, log, signal);
  return 0;
});
