import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runHook } from '../../../src/core/hooks/hook.ts';
import type { Logger } from '../../../src/core/observability/log.ts';
import { systemClock } from '../../../src/core/runtime/clock.ts';
import { isAbort } from '../../../src/core/runtime/errors.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dropback-test-'));
});
afterAll(() => rm(folder, { recursive: true }));

const secrets = ['s3cr3t-of-another'];

/** Runs a hook; returns what it logged, and how it failed. */
async function run(command: string, timeoutMs = 60_000, signal = new AbortController().signal) {
  const lines: string[] = [];
  const note = (_facts: object, text: string) => lines.push(text);
  const log = { info: note } as unknown as Logger;
  const environment = { DROPBACK_HOOK: 'BACKUP_PRE_HOOK', DROPBACK_ERROR: "it's $(not) run" };
  const options = { environment, timeoutMs, clock: systemClock, log, secrets };
  const error = await runHook('BACKUP_PRE_HOOK', command, options, signal).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return { lines, error };
}

test('no secret of any database reaches it, or what is told of its output', async () => {
  const { lines, error } = await run(
    'echo a s3cr3t-of-another b; echo s3cr3t-of-another >&2; exit 3',
  );
  expect(lines).toEqual(expect.arrayContaining(['a *** b', '***']));
  expect(JSON.stringify([lines, error, (error as Error).message])).not.toContain('s3cr3t');
});

test('its output, of both streams, is in the log', async () => {
  const { lines, error } = await run('echo one; echo two >&2; printf three');
  expect(error).toBeUndefined();
  expect(lines).toEqual(expect.arrayContaining(['hook started', 'one', 'two', 'three']));
  expect(lines.at(-1)).toBe('hook done');
});

test('output without end is bounded', async () => {
  const { lines } = await run(`awk 'BEGIN { for (i = 0; i < 2000; i++) printf "%05000d\\n", i }'`);
  expect(lines.length).toBeLessThan(110);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(2000);
  expect(lines.slice(-3)).toContain('1900 further lines were left out');
});

test('it gets the documented environment and nothing of the daemon', async () => {
  process.env['PGPASSWORD'] = 'leaks-otherwise';
  try {
    const { lines } = await run('env; echo "said: $DROPBACK_ERROR"');
    expect(lines).toContain("said: it's $(not) run");
    const names = lines.filter((line) => /^\w+=/.test(line)).map((line) => line.split('=')[0]);
    const known =
      /^(PATH|TMPDIR|TZ|SSL_CERT_FILE|SSL_CERT_DIR|LC_ALL|HOME|PWD|OLDPWD|SHLVL|_|DROPBACK_\w+)$/;
    expect(names.filter((name) => !known.test(name ?? ''))).toEqual([]);
  } finally {
    delete process.env['PGPASSWORD'];
  }
});

test('it has no capabilities', async () => {
  const { lines } = await run('grep -E "^Cap(Inh|Amb)" /proc/self/status');
  expect(lines.filter((line) => line.startsWith('Cap'))).toHaveLength(2);
  for (const line of lines.filter((line) => line.startsWith('Cap'))) expect(line).toMatch(/\t0+$/);
});

test.each([
  ['echo because; exit 3', { exitCode: 3, exitSignal: null, output: ['because'] }],
  ['kill -9 $$', { exitCode: null, exitSignal: 'SIGKILL', output: [] }],
])('%s fails', async (command, facts) => {
  const { error } = await run(command);
  expect(error).toMatchObject({
    code: 'hook/failed',
    facts: { hook: 'BACKUP_PRE_HOOK', ...facts },
  });
});

test('its last words are in the message, whichever stream they came by', async () => {
  expect((await run('echo nope; exit 1')).error).toMatchObject({
    message: 'BACKUP_PRE_HOOK exited with code 1: nope',
  });
  expect((await run('echo nope >&2; exit 1')).error).toMatchObject({
    message: 'BACKUP_PRE_HOOK exited with code 1: nope',
  });
});

test('the deadline ends all of it', async () => {
  const pidFile = join(folder, 'pid');
  const { error } = await run(`sleep 600 & echo $! > ${pidFile}; echo waiting; wait`, 700);
  expect(error).toMatchObject({ code: 'hook/timed-out', facts: { output: ['waiting'] } });
  const pid = (await readFile(pidFile, 'utf8')).trim();
  // A moment may pass until init has taken it away.
  for (let i = 0; i < 200 && isAlive(pid); i++) await new Promise((done) => setTimeout(done, 25));
  expect(isAlive(pid)).toBe(false);
});

test('an abort is no failure of the hook', async () => {
  const ended = new AbortController();
  setTimeout(() => ended.abort(), 200);
  expect(isAbort((await run('sleep 600', 60_000, ended.signal)).error)).toBe(true);
});

function isAlive(pid: string): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
