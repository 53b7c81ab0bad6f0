// Backs up as whoever started this: prints the rows of `orders`, or the error.
import { SqliteBackupEngine } from '../../../src/core/engines/sqlite/backup-engine.ts';
import { silentLogger } from '../../../src/core/observability/log.ts';
import { systemClock } from '../../../src/core/runtime/clock.ts';
import { errorReport } from '../../../src/core/runtime/errors.ts';

const [path, spool] = process.argv.slice(2) as [string, string];
const log = silentLogger();
const engine = new SqliteBackupEngine({
  database: { kind: 'sqlite', path },
  log,
  clock: systemClock,
});
const request = { spool, compressionLevel: 3, excludeTableData: [], nice: 5, log };
try {
  const signal = new AbortController().signal;
  const dump = await engine.dump({ ...request, rowCounts: 'exact' }, signal);
  await engine.readBack(spool, dump, signal);
  console.log(JSON.stringify({ rows: dump.tables.find(({ name }) => name === 'orders')?.rows }));
} catch (error) {
  console.log(JSON.stringify(errorReport(error)));
}
