import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { StatusFile } from '../../../src/backup/status-file.ts';
import { silentLogger } from '../../../src/core/observability/log.ts';
import type { BackupStatus } from '../../../src/core/requests/backup-status.ts';

test('what a killed process left of a write is removed, and nothing else', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'dropback-status-'));
  try {
    const left = ['.hidden.json', 'alerts.json', 'x.7eb187ff6f01.tmp'];
    const torn = ['status', 'last-failure', 'doubts', 'alerts'].map(
      (name) => `.${name}.json.7eb187ff6f01.tmp`,
    );
    for (const name of [...left, ...torn]) await writeFile(join(folder, name), 'torn');
    const status = { program: 'db-backup', state: 'idle' } as BackupStatus;
    await new StatusFile(folder, silentLogger()).keep(status);
    expect((await readdir(folder)).sort()).toEqual([...left, 'status.json'].sort());
  } finally {
    await rm(folder, { recursive: true });
  }
});
