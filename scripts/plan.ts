// `npm run plan`: what a backup of a database that nobody can try here would take, simulated from what the benchmark
// measured (docs/benchmarks/*.json). Changes nothing, asks nobody.
import { join } from 'node:path';
import { readResults } from './bench/results.ts';
import { readPlanOptions, USAGE } from './plan/options.ts';
import { readRates } from './plan/rates.ts';
import { planReport } from './plan/report.ts';
import { root } from './setup.mjs';

try {
  const options = readPlanOptions(process.argv.slice(2));
  const rates = readRates(await readResults(join(root, 'docs')));
  for (const line of planReport(options, rates)) console.log(line);
} catch (error) {
  if (!(error instanceof TypeError)) throw error;
  console.error(`${error.message}\n${USAGE}`);
  process.exitCode = 64;
}
