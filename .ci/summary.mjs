// Prints what a vitest JSON report says; the last line is `N passed, N failed`.
// Usage: node summary.mjs REPORT EXIT-CODE-OF-THE-RUN
import { readFileSync } from 'node:fs';

const [file, status] = process.argv.slice(2);
let report = {};
try {
  report = JSON.parse(readFileSync(file, 'utf8'));
} catch (error) {
  console.error(`no report of the tests: ${error.message}`);
}

const passed = report.numPassedTests ?? 0;
const skipped = (report.numPendingTests ?? 0) + (report.numTodoTests ?? 0);
// A file that cannot be loaded has no tests to count: it counts as one.
const broken = (report.testResults ?? []).filter(
  (suite) => suite.status === 'failed' && suite.assertionResults.length === 0,
);
let failed = (report.numFailedTests ?? 0) + broken.length;
if (skipped > 0) console.error(`${skipped} skipped, and nothing may be left out here`);
if (passed + failed === 0) console.error('no tests ran');
if (status !== '0' && failed === 0) {
  console.error(`the run exited with ${status} although no test failed`);
  failed = 1;
}

console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || skipped > 0 || passed === 0 ? 1 : 0;
