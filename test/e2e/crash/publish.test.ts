import { expect, test, vi } from 'vitest';
import { LocalStore } from '../../../src/core/stores/local/store.ts';
import { SqliteStack } from '../../support/sqlite-stack.ts';

const killAtCall = new URL('../../support/crash/kill-at-call.ts', import.meta.url).pathname;
// Each starts two daemons, on a machine that may be busy.
vi.setConfig({ testTimeout: 300_000 });

const never = new AbortController().signal;

// The archive gets its name, then the manifest: link(2), then unlink(2) of the partial name.
test.each(['after link .db.zst.partial', 'before link .json.partial', 'after link .json.partial'])(
  'a daemon that is killed while it publishes (%s): the next one lists the backup',
  async (at) => {
    await using stack = await SqliteStack.create();
    const preload = { NODE_OPTIONS: `--import ${killAtCall}`, KILL_AT: at };
    const killed = stack.start('db-backup', [], preload);
    expect(await killed.exited, killed.output).toMatchObject({ signal: 'SIGKILL' });
    const isListed = at === 'after link .json.partial';
    const [cut] = await stack.bench.manifests();
    expect(cut !== undefined).toBe(isListed);

    const next = stack.start('db-backup', [], { BACKUP_INTERVAL_SECONDS: '1' });
    await next.says(/"backup listed"/, 120_000);
    expect(await next.stop()).toMatchObject({ code: 0 });
    if (!isListed) expect(next.output).toContain('completed a backup that was cut short');
    const store = new LocalStore(stack.bench.path('backups', 'app'), 'app');
    const { backups, strays } = await store.list(never);
    expect(strays).toEqual([]);
    expect(backups.length).toBeGreaterThanOrEqual(2);
    for (const manifest of backups) await store.verify(manifest, never);
    const files = await stack.bench.files('backups', 'app');
    expect(files.filter((name) => name.includes('partial'))).toEqual([]);
  },
);
