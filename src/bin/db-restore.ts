#!/usr/bin/env node
import { loadRestoreConfigs } from '../core/config/load.ts';
import { createLogger } from '../core/observability/log.ts';
import { runMain } from '../core/runtime/main.ts';
import { serveRestore } from '../restore/serve.ts';
import { serveRestores } from '../restore/serve-several.ts';
import { wireRestore } from '../restore/wire.ts';
import { readArguments } from './arguments.ts';

await runMain(async (signal) => {
  const flags = readArguments(process.argv.slice(2), {
    program: 'db-restore',
    summary: 'Watches a folder and restores what is dropped there, until it is stopped.',
    flags: {},
  });
  if (!flags) return 0;
  const databases = loadRestoreConfigs();
  const [config] = databases.all;
  const log = createLogger({ ...config.log, program: 'db-restore' });
  if (databases.areSeveral) {
    await serveRestores(databases, log, signal);
    return 0;
  }
  await using wired = await wireRestore(config, log, { tells: true });
  await serveRestore(wired, config, log, signal);
  return 0;
});
