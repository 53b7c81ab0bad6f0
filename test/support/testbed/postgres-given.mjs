/** Servers named in TEST_POSTGRES_URL (several with commas between them), sorted by major version. */

import { libpqVariables } from './postgres-cluster.mjs';
import { run } from './processes.mjs';

/**
 * The one that serves as `part`: versions up to 17 as postgres15, later ones as postgres18.
 * @param {'postgres15' | 'postgres18'} part
 */
export async function givenServer(part) {
  const seen = [];
  for (const url of process.env.TEST_POSTGRES_URL.split(',').map((entry) => entry.trim())) {
    const { hostname: host, port, password } = new URL(url);
    const query = ['-XAtc', 'show server_version'];
    const { code, stdout, stderr } = await run('psql', query, {
      check: false,
      timeoutMs: 20_000,
      env: libpqVariables(url),
    });
    if (code !== 0) throw new Error(`TEST_POSTGRES_URL at ${host}: ${stderr.trim()}`);
    const version = stdout.trim().split(' ')[0];
    const major = Number.parseInt(version, 10);
    seen.push(version);
    if ((major >= 18 ? 'postgres18' : 'postgres15') !== part) continue;
    const binDir = (await run('sh', ['-c', 'dirname "$(command -v pg_dump)"'])).stdout.trim();
    const value = {
      url,
      adminUrl: url,
      host,
      port: Number(port || 5432),
      password,
      version,
      major,
      binDir,
    };
    return { line: `using ${host}:${value.port} (${version}, TEST_POSTGRES_URL)`, value };
  }
  throw new Error(`TEST_POSTGRES_URL names only ${seen.join(', ')}`);
}
