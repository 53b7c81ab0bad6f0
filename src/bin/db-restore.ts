#!/usr/bin/env node
import { loadRestoreConfig } from '../core/config/load.ts';
import { createLogger } from '../core/observability/log.ts';
import { DropbackError } from '../core/runtime/errors.ts';
import { runMain } from '../core/runtime/main.ts';
import { serveRestore } from '../restore/serve.ts';
import { wireRestore } from '../restore/wire.ts';

await runMain(async (signal) => {
  const args = process.argv.slice(2);
  if (args.length > 0) {
    throw new DropbackError('cli/usage', `unknown argument: ${args.join(' ')}`, {
      hint: 'db-restore takes no arguments: it is configured by its environment.',
    });
  }
  const config = loadRestoreConfig();
  const log = createLogger({ ...config.log, program: 'db-restore' });
  await using wired = await wireRestore(config, log);
  await serveRestore(wired, config, log, signal);
  return 0;
});
