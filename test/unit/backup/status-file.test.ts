import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { StatusFile } from '../../../src/backup/status-file.ts';
import { silentLogger } from '../../../src/core/observability/log.ts';
import type { BackupStatus } from '../../../src/core/requests/backup-status.ts';

test('what a killed daemon left of a write is removed, and nothing else', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'dropback-status-'));
  try {
    for (const name of ['.status.json.7eb187ff6f01.tmp', '.outbox.json.7eb187ff6f01.tmp', 'x']) {
      await writeFile(join(folder, name), 'torn');
    }
    const status = { program: 'db-backup', state: 'idle' } as BackupStatus;
    await new StatusFile(folder, silentLogger()).keep(status);
    const left = (await readdir(folder)).sort();
    expect(left).toEqual(['.outbox.json.7eb187ff6f01.tmp', 'status.json', 'x']);
  } finally {
    await rm(folder, { recursive: true });
  }
});
