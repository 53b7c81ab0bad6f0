/**
 * The last step of the image's build: fails it where a program is missing, cannot run, or is a psql
 * whose restricted mode can be escaped. usage: check-programs.mjs MAJOR…
 */
import { installedClients, psqlIsSafe } from '../dist/core/engines/postgres/clients.js';
import { requireProgram } from '../dist/core/runtime/process/find-program.js';
import { capture } from '../dist/core/runtime/process/pipeline.js';

const { signal } = new AbortController();
const wanted = process.argv.slice(2).map(Number);
const clients = await installedClients(signal);
const problems = [];

for (const major of wanted) {
  if (!clients.some((client) => client.major === major)) problems.push(`no client ${major}`);
}
for (const { version, folder, programs } of clients) {
  for (const name of ['pg_dump', 'pg_restore', 'psql']) {
    if (!programs[name]) problems.push(`no ${name} in ${folder}`);
    else await run(name, programs[name], '--version');
  }
  if (!psqlIsSafe(version)) problems.push(`psql ${version} is too old: its restricted mode leaks`);
}
for (const name of ['zstd', 'age', 'sqlite3', 'setpriv', 'gzip', 'tar', 'cmp']) {
  await run(name, requireProgram(name), '--version');
}
const { default: Database } = await import('better-sqlite3');
new Database(':memory:').close();

if (problems.length > 0) {
  for (const problem of problems) console.error(problem);
  process.exit(1);
}

async function run(name, file, ...args) {
  try {
    const text = await capture({ name, file, args }, { signal, timeoutMs: 10_000 });
    console.log(text.split('\n')[0]);
  } catch (error) {
    problems.push(error.message);
  }
}
