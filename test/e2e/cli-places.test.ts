import { expect, test, vi } from 'vitest';
import { Bench, Daemon } from '../support/daemon.ts';
import { SqliteStack } from '../support/sqlite-stack.ts';

// Generous: other test files load the machine.
vi.setConfig({ testTimeout: 120_000 });

/** Runs a program to its end without any configuration. */
async function bare(program: 'db-backup' | 'db-restore', ...args: string[]) {
  await using run = new Daemon(program, {}, args);
  const { code } = await run.exited;
  return { code, output: run.output };
}

test.each(['db-backup', 'db-restore'] as const)('%s tells how it is called', async (program) => {
  const help = await bare(program, '--help');
  expect(help.code).toBe(0);
  expect(help.output).toMatch(new RegExp(`^usage: ${program} `));
  expect(help.output.includes('--once')).toBe(program === 'db-backup');
  expect(await bare(program, '--version')).toEqual({
    code: 0,
    output: expect.stringMatching(/^\d+\.\d+\.\d+$/),
  });
  const wrong = await bare(program, '--often');
  expect(wrong.code).toBe(64);
  expect(wrong.output).toContain('unknown argument: --often');
  expect(wrong.output).toContain(`usage: ${program} `);
});

test('what db-restore does is refused where there is none, with the way to it', async () => {
  await using stack = await SqliteStack.create();
  // As in a container that has no drop folder: where there is one, db-restore may be about to begin.
  const elsewhere = { RESTORE_WATCH_DIR: stack.bench.path('nowhere', 'restore', 'incoming') };
  for (const command of [['previous'], ['undo'], ['restore', 'latest'], ['check', 'latest']]) {
    const { code, output } = await stack.run('dropback', command, elsewhere);
    expect(code, output).toBe(75);
    expect(output).toMatch(/no db-restore here: .*requests/);
    expect(output).toContain('docker compose exec db-restore dropback');
  }
});

test('doctor checks the daemon whose container it is in; a missing volume is one line', async () => {
  await using bench = await Bench.create();
  const doctor = async (extra: Record<string, string>, ...args: string[]) => {
    const environment = bench.environment({
      DATABASE_URL: `sqlite:///${bench.path('data', 'app.db')}`,
      RESTORE_WATCH_DIR: bench.path('nowhere', 'restore', 'incoming'),
      RESTORE_STATE_FILE: bench.path('nowhere', 'restore', 'state.json'),
      ...extra,
    });
    await using run = new Daemon('dropback', environment, ['doctor', ...args]);
    await run.exited;
    return run.output;
  };
  const [backup, restore, asked] = await Promise.all([
    doctor({ DROPBACK_DAEMON: 'db-backup' }),
    doctor({ DROPBACK_DAEMON: 'db-restore', PUID: '0' }),
    doctor({ DROPBACK_DAEMON: 'db-restore' }, '--for', 'db-backup'),
  ]);
  for (const output of [backup, asked]) {
    expect(output).toMatch(/checks, of what db-backup needs: 0 failed/);
    expect(output).not.toMatch(/folders\/|containers\//);
  }
  const missing = restore.split('\n').filter((line) => line.includes('folders/'));
  expect(missing).toEqual([expect.stringMatching(/^FAILED .*\/nowhere\/restore does not exist/)]);
  expect(restore).toMatch(/mount a volume at .*\/nowhere\/restore/);
  expect(restore).not.toContain('local/writable');
  expect(restore).toMatch(/^warning .* PUID is 0/m);
  expect(restore).toMatch(/of what db-restore needs: 1 failed/);
});

test('one backup, at once, tells of a misspelt variable too', async () => {
  await using stack = await SqliteStack.create();
  const { code, output } = await stack.run('db-backup', ['--once'], { BACKUP_KEEP_DIALY: '3' });
  expect(code, output).toBe(0);
  expect(output).toMatch(/BACKUP_KEEP_DIALY.*BACKUP_KEEP_DAILY/);
});
