/** Programs that tests start by name: Debian's packages of the same names. */
import { aptInstall } from './debian.mjs';
import { run } from './processes.mjs';

const TOOLS = ['age', 'chromium', 'openssl', 'pgbouncer', 'sqlite3', 'zstd'];

/** @returns {Promise<{line: string, value: Record<string, string>}>} where each program is */
export async function ensureTools() {
  const before = await locate();
  const lacking = TOOLS.filter((tool) => !before[tool]);
  if (lacking.length > 0) await aptInstall(lacking);
  const value = lacking.length > 0 ? await locate() : before;
  const still = TOOLS.filter((tool) => !value[tool]);
  if (still.length > 0) throw new Error(`${still.join(', ')} not found after installing`);
  return { line: `ready (${TOOLS.join(', ')})`, value };
}

async function locate() {
  const PATH = `${process.env.PATH}:/usr/sbin:/usr/local/sbin`;
  const found = {};
  for (const tool of TOOLS) {
    const { code, stdout } = await run('sh', ['-c', `command -v ${tool}`], {
      check: false,
      env: { PATH },
    });
    if (code === 0) found[tool] = stdout.trim();
  }
  return found;
}
