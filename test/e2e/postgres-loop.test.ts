import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, test, vi } from 'vitest';
import type { Daemon } from '../support/daemon.ts';
import { expectEqual, hasPagila, sampleDatabase } from '../support/postgres-samples.ts';
import { PostgresStack } from '../support/postgres-stack.ts';
import { testWith } from '../support/samples.ts';
import { servers } from '../support/testbed.ts';

// Some seconds each; a machine that is busy otherwise may take many times that.
vi.setConfig({ testTimeout: 240_000 });

const compressions = {
  '.gz': (bytes: Buffer) => gzipSync(bytes),
  '.zst': (bytes: Buffer) => zstdCompressSync(bytes),
} as const;

async function compressed(script: string, extension: keyof typeof compressions): Promise<string> {
  const path = `${script}${extension}`;
  await writeFile(path, compressions[extension](await readFile(script)));
  return path;
}

describe.each(servers)('dropped into PostgreSQL $major', (server) => {
  /** Drops each file, compares each time; then backs the source up and drops that. */
  async function loop(stack: PostgresStack, daemon: Daemon, database: string, drops: string[]) {
    const { bed } = stack;
    const wanted = await bed.picture(database);
    for (const [index, path] of drops.entries()) {
      const report = await stack.restored(daemon, path);
      expectEqual(await bed.picture(bed.live), wanted, 'foreign');
      // Over the same content again: nothing appears, nothing disappears.
      if (index > 0) expect(report.differences).toEqual([]);
    }
    const archive = await stack.backup({ DATABASE_URL: stack.url(database) });
    const own = await stack.restored(daemon, archive);
    expect(own.backupId).toBeDefined();
    expect(own.differences ?? []).toEqual([]);
    expectEqual(await bed.picture(bed.live), wanted, 'own');
  }

  test('the rich database: .sql, .sql.gz, .sql.zst, .dump, .tar, our own backup', async () => {
    await using stack = await PostgresStack.create(server);
    const { bed } = stack;
    const { database, script } = await sampleDatabase(bed, 'rich');
    const custom = join(bed.folder, 'rich.dump');
    await bed.tool('pg_dump', ['-Fc', '-f', custom], database);
    const folder = join(bed.folder, 'folder');
    await bed.tool('pg_dump', ['-Fd', '-j2', '-f', folder], database);
    const tar = join(bed.folder, 'rich.tar');
    execFileSync('tar', ['-C', bed.folder, '-cf', tar, 'folder']);
    const scripts = [script, await compressed(script, '.gz'), await compressed(script, '.zst')];
    await using daemon = await stack.restoreDaemon();
    await loop(stack, daemon, database, [...scripts, custom, tar]);
  });

  testWith(hasPagila)('pagila: .sql, .sql.gz, our own backup', async () => {
    await using stack = await PostgresStack.create(server);
    const { database, script } = await sampleDatabase(stack.bed, 'pagila');
    await using daemon = await stack.restoreDaemon();
    await loop(stack, daemon, database, [script, await compressed(script, '.gz')]);
  });
});
