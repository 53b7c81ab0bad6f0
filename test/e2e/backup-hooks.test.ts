import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SqliteStack } from '../support/sqlite-stack.ts';

let stack: SqliteStack;
beforeAll(async () => {
  stack = await SqliteStack.create();
});
afterAll(() => stack?.[Symbol.asyncDispose]());

const notes = (file: string) => readFile(stack.bench.path(file), 'utf8');

test('around a good backup: the post-hook is told which archive it is', async () => {
  const { code, output } = await stack.run('db-backup', ['--once'], {
    BACKUP_PRE_HOOK: `echo "$DROPBACK_HOOK $DROPBACK_NAME $DROPBACK_DATABASE" > ${stack.bench.path('pre')}`,
    BACKUP_POST_HOOK: `echo "$DROPBACK_OUTCOME $DROPBACK_BACKUP_ID $(stat -c %s "$DROPBACK_ARCHIVE")=$DROPBACK_BYTES" > ${stack.bench.path('post')}; exit 3`,
  });
  expect(code, output).toBe(0);
  expect(await notes('pre')).toBe(`BACKUP_PRE_HOOK app sqlite:///${stack.database}\n`);
  const [manifest] = await stack.bench.manifests();
  const bytes = manifest?.archive.bytes;
  expect(await notes('post')).toBe(`done ${manifest?.id} ${bytes}=${bytes}\n`);
  // A post-hook that fails is told, and fails no backup.
  expect(output).toContain('BACKUP_POST_HOOK failed');
});

test('a pre-hook that fails fails the run', async () => {
  const listed = (await stack.bench.manifests()).length;
  const { code, output } = await stack.run('db-backup', ['--once'], {
    BACKUP_PRE_HOOK: 'echo the application cannot be paused >&2; exit 1',
    BACKUP_POST_HOOK: `echo "$DROPBACK_OUTCOME $DROPBACK_ERROR_CODE" > ${stack.bench.path('post')}`,
  });
  expect(code).toBe(1);
  expect(output).toMatch(/error hook\/failed: .*the application cannot be paused/);
  expect(await notes('post')).toBe('failed hook/failed\n');
  expect(await stack.bench.manifests()).toHaveLength(listed);
});
