import { describe, expect, test } from 'vitest';
import { installedClients, psqlIsSafe } from '../../../src/core/engines/postgres/clients.ts';
import { choosePsql } from '../../../src/core/engines/postgres/restore/psql.ts';

const { signal } = new AbortController();
const installed = (await installedClients(signal)).filter((client) => client.programs.psql);
const safe = installed.filter((client) => psqlIsSafe(client.version));

describe('psql for the scripts of others', () => {
  test.runIf(safe.length > 0)(
    'one that can be talked out of its restricted mode is never taken',
    async () => {
      const newest = Math.max(...safe.map((client) => client.major));
      for (const serverMajor of installed.map((client) => client.major)) {
        if (serverMajor > newest) continue;
        const chosen = await choosePsql(serverMajor, signal);
        expect(psqlIsSafe(chosen.version), chosen.version).toBe(true);
        expect(chosen.major).toBeGreaterThanOrEqual(serverMajor);
      }
    },
  );

  test('without a safe one scripts are refused, with what to install', async () => {
    await expect(choosePsql(99, signal)).rejects.toMatchObject({
      code: 'tool/psql-unsafe',
      hint: expect.stringContaining('update the PostgreSQL client'),
    });
  });
});
