import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, test, vi } from 'vitest';
import { SqliteStack } from '../support/sqlite-stack.ts';

const run = promisify(execFile);
const root = new URL('../../', import.meta.url).pathname;

/** A line for `sh`, so that real pipes and terminals stand around the command. */
function commandLine(...args: string[]): string {
  const node = [process.execPath, '--disable-warning=ExperimentalWarning'];
  return [...node, `${root}src/bin/dropback.ts`, ...args].map((part) => `'${part}'`).join(' ');
}

function shell(stack: SqliteStack, line: string) {
  const env = { PATH: process.env['PATH'] ?? '', TERM: 'xterm', ...stack.environment() };
  return run('bash', ['--norc', '-c', line], { env, encoding: 'utf8' });
}

// Generous: other test files load the machine.
vi.setConfig({ testTimeout: 240_000 });

describe('dropback at a terminal', () => {
  test('a bar on a terminal, lines in a pipe, and a reader that goes away', async () => {
    await using stack = await SqliteStack.create();
    stack.sql(`CREATE TABLE big (b BLOB);
      WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 60)
      INSERT INTO big SELECT randomblob(1000000) FROM n`);
    expect(await stack.run('dropback', ['backup'])).toMatchObject({ code: 0 });
    await stack.restoreDaemon();

    const restoring = commandLine('restore', 'latest').replaceAll("'", '');
    const terminal = await shell(
      stack,
      `stty cols 100 2>/dev/null; script -qec '${restoring}' /dev/null`,
    );
    expect(terminal.stdout).toMatch(/[█░]+ +\d+%/);
    expect(terminal.stdout).toContain('\x1b[32mrestored');
    const piped = await shell(stack, `${commandLine('restore', 'latest')} 2>&1`);
    expect(piped.stdout).not.toContain('\x1b');
    expect(piped.stdout).not.toMatch(/[█░]/);
    expect(piped.stdout).toMatch(/^restored: /m);

    for (const args of [['list', '--json'], ['doctor'], ['--help']]) {
      const { stderr, stdout } = await shell(
        stack,
        `${commandLine(...args)} | true; echo "\${PIPESTATUS[0]}"`,
      );
      expect({ args, stdout: stdout.trim(), stderr }).toEqual({ args, stdout: '0', stderr: '' });
    }
  });

  test('Ctrl-C takes back what was not begun; what was begun goes on', async () => {
    await using stack = await SqliteStack.create();
    expect(await stack.run('dropback', ['backup'])).toMatchObject({ code: 0 });
    const daemon = await stack.restoreDaemon();
    await daemon.stop();

    const asked = stack.start('dropback', ['restore', 'latest']);
    const requests = () => stack.bench.files('restore', 'requests');
    await asked.until('a request', async () =>
      (await requests()).find((file) => /^[0-9a-f]{16}\.json$/.test(file)),
    );
    asked.kill('SIGINT');
    expect(await asked.exited).toEqual({ code: 130, signal: null });
    expect(asked.output).toContain('taken back');
    expect((await requests()).filter((file) => file !== 'daemon.json')).toEqual([]);

    const backup = stack.start('dropback', ['backup']);
    await backup.says(/taking the lock/);
    backup.kill('SIGINT');
    const { code } = await backup.exited;
    expect([0, 130]).toContain(code);
    const left = (await stack.bench.files('backups', 'app')).filter((file) => /partial/.test(file));
    expect(left).toEqual([]);
  });
});
