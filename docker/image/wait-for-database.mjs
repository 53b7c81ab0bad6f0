/**
 * Before a daemon starts, in its own process (`node --import`), so that what both need is loaded once:
 * waits for the configured PostgreSQL server, at most 30 s, saying so. The daemons wait by themselves
 * too, without end; this only spares them a first failure when a whole stack starts at once.
 * Configuration problems are theirs to tell.
 */
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { loadCliConfig } from '../dist/core/config/load.js';
import { installedClients } from '../dist/core/engines/postgres/clients.js';
import { createLogger } from '../dist/core/observability/log.js';
import { capture } from '../dist/core/runtime/process/pipeline.js';
import { ensureFolders, foldersOf } from '../dist/restore/drop-folder/folders.js';

const MOST_MS = 30_000;
const program = basename(process.argv[1], '.js');
const signal = AbortSignal.timeout(MOST_MS);
const end = () => process.exit(0);
for (const name of ['SIGTERM', 'SIGINT']) process.on(name, end);

try {
  await waitFor(program);
} catch (error) {
  // Whatever it is, the daemon meets it too and explains it better.
  if (process.env.LOG_LEVEL === 'debug') console.error(error);
}
for (const name of ['SIGTERM', 'SIGINT']) process.off(name, end);

async function waitFor(program) {
  const config = loadCliConfig();
  const { database, log: logOptions } = config.common();
  if (database.kind !== 'postgres') return;
  if (program === 'db-restore') {
    // The application is down and must come back first, database or not.
    if (isInterrupted(config.restore().stateFile)) return;
    // A drop that comes meanwhile needs its folder: `cp` would make a file of that name.
    await ensureFolders(foldersOf(config.restore()));
  }
  const { host, port, user } = database.connection;
  const log = createLogger({ ...logOptions, program });
  const newest = (await installedClients(signal)).at(-1);
  if (!newest) return;
  const file = join(newest.folder, 'pg_isready');
  // The user is not checked, but libpq wants a name, and the daemon's uid has none.
  const args = ['-q', '-t', '2', `--host=${host}`, `--port=${port}`, `--username=${user}`];
  for (let tries = 1; ; tries++) {
    try {
      await capture({ name: 'pg_isready', file, args }, { signal });
      if (tries > 1) log.info('the database server answers');
      return;
    } catch {
      if (signal.aborted) break;
    }
    if (tries % 5 === 1) log.info(`waiting for the database server at ${host}:${port}`);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  log.warn(`no database server at ${host}:${port} yet: starting, and waiting on`);
}

function isInterrupted(stateFile) {
  return existsSync(join(dirname(stateFile), 'stopped.json'));
}
