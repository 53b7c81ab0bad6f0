import { mkdir, symlink } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { findProgram } from '../../src/core/runtime/process/find-program.ts';
import { restoreByHand } from '../support/by-hand.ts';
import { SqliteStack } from '../support/sqlite-stack.ts';

/** What the daemons run for SQLite, save zstd. */
const programs = ['cat', 'cmp', 'dd', 'ionice', 'nice', 'setpriv', 'sha256sum', 'tee'];

test('without zstd SQLite is backed up uncompressed, with a warning, and restored', async () => {
  await using stack = await SqliteStack.create();
  const PATH = stack.bench.path('bin');
  await mkdir(PATH);
  for (const name of programs) {
    const found = findProgram(name);
    if (found) await symlink(found, stack.bench.path('bin', name));
  }
  const backup = await stack.run('dropback', ['backup'], { PATH });
  expect(backup.code, backup.output).toBe(0);
  expect(backup.output).toContain('zstd is not installed: the backup is not compressed');
  const [manifest] = await stack.bench.manifests();
  expect(manifest?.archive).toMatchObject({ file: expect.stringMatching(/Z\.db$/) });

  if (!manifest) throw new Error('no backup was made');
  const [from, folder] = [stack.bench.path('backups', 'app'), stack.bench.path('by-hand')];
  await restoreByHand(manifest, { from, folder });
  expect(stack.rows(stack.bench.path('by-hand', 'NEW.db'))).toBe('1,2,3');

  stack.sql('DELETE FROM t');
  await stack.restoreDaemon({ PATH });
  const restore = await stack.run('dropback', ['restore', 'latest'], { PATH });
  expect(restore.code, restore.output).toBe(0);
  expect(stack.rows()).toBe('1,2,3');
}, 120_000);
