import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DropbackError } from '../../../src/core/runtime/errors.ts';
import { capture, runPipeline } from '../../../src/core/runtime/process/pipeline.ts';
import type { Program } from '../../../src/core/runtime/process/program.ts';

const never = new AbortController().signal;

function sh(script: string, extra: Partial<Program> = {}): Program {
  return { name: script.split(' ')[0] ?? 'sh', file: '/bin/sh', args: ['-c', script], ...extra };
}

async function failureOf(promise: Promise<unknown>): Promise<DropbackError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(DropbackError);
  return error as DropbackError;
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
}

describe('runPipeline', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dropback-pipeline-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  test('joins programs and writes the last one to a descriptor', async () => {
    const path = join(folder, 'out');
    await using file = await open(path, 'w');
    const outcomes = await runPipeline([sh('seq 1 200000'), sh('grep -c 7'), sh('tr -d "\\n"')], {
      signal: never,
      stdoutFd: file.fd,
    });
    expect(await readFile(path, 'utf8')).toBe('81902');
    expect(outcomes.map((outcome) => outcome.exitCode)).toEqual([0, 0, 0]);
  });

  test('hands over every byte between programs', async () => {
    const direct = await capture(sh('seq 1 400000 | sha256sum'), { signal: never });
    let joined = '';
    await runPipeline([sh('seq 1 400000'), sh('cat'), sh('cat'), sh('sha256sum')], {
      signal: never,
      consume: async (stdout) => {
        for await (const chunk of stdout) joined += String(chunk);
      },
    });
    expect(joined).toBe(direct);
  });

  test('what a program has started ends with this process, however that ends', async () => {
    const url = new URL('../../../src/core/runtime/process/pipeline.ts', import.meta.url);
    const script = `import { runPipeline } from '${url}';
      const args = ['-c', 'trap "" TERM; sleep 600 & echo $! >&2; wait'];
      await runPipeline([{ name: 'sh', file: '/bin/sh', args, forks: true }], {
        signal: new AbortController().signal,
        onStderr: (_, line) => process.stdout.write(line),
      });`;
    const flags = ['--disable-warning=ExperimentalWarning', '--input-type=module'];
    const ours = spawn(process.execPath, [...flags, '-e', script], {
      stdio: ['ignore', 'pipe', 2],
    });
    const [said] = (await once(ours.stdout as Readable, 'data')) as [Buffer];
    const started = Number(said);
    expect(alive(started)).toBe(true);
    ours.kill('SIGKILL');
    await expect.poll(() => alive(started), { timeout: 30_000 }).toBe(false);
  });

  test('a failure upstream is a failure, though the end of the stream looked fine', async () => {
    const error = await failureOf(
      runPipeline([sh('echo data; echo "disk on fire" >&2; exit 3'), sh('cat')], { signal: never }),
    );
    expect(error.code).toBe('tool/failed');
    expect(error.message).toContain('exited with code 3: disk on fire');
    expect(error.facts).toMatchObject({ exitCode: 3, stderr: ['disk on fire'] });
  });

  test('blames the program that failed, not the one that died of a closed pipe', async () => {
    const error = await failureOf(
      runPipeline([sh('yes'), sh('head -c 10 >/dev/null; exit 9', { name: 'writer' })], {
        signal: never,
      }),
    );
    expect(error.facts).toMatchObject({ program: 'writer', exitCode: 9 });
  });

  test('a program killed from outside is a failure', async () => {
    const error = await failureOf(
      runPipeline([sh('kill -9 $$', { name: 'dump' }), sh('cat')], { signal: never }),
    );
    expect(error.facts).toMatchObject({ program: 'dump', exitSignal: 'SIGKILL' });
  });

  test('abort ends the whole process group, grandchildren too', async () => {
    const pidFile = join(folder, 'pid');
    const stop = new AbortController();
    const running = runPipeline([sh(`sleep 60 & echo $! > ${pidFile}; wait`)], {
      signal: stop.signal,
      killGraceMs: 500,
    });
    running.catch(() => {});
    await expect
      .poll(() => readFile(pidFile, 'utf8').catch(() => ''), { timeout: 5000 })
      .toMatch(/\d/);
    const grandchild = Number(await readFile(pidFile, 'utf8'));
    expect(alive(grandchild)).toBe(true);
    stop.abort();
    expect((await failureOf(running)).code).toBe('run/aborted');
    await expect.poll(() => alive(grandchild)).toBe(false);
  });

  test('a program that ignores SIGTERM is killed after the grace', async () => {
    const stop = new AbortController();
    const running = runPipeline([sh('trap "" TERM; echo up >&2; while :; do sleep 0.1; done')], {
      signal: stop.signal,
      killGraceMs: 200,
      onStderr: () => stop.abort(),
    });
    expect((await failureOf(running)).code).toBe('run/aborted');
  });

  test('a time-out ends it and says so', async () => {
    const error = await failureOf(
      runPipeline([sh('sleep 60')], { signal: never, timeoutMs: 200, killGraceMs: 200 }),
    );
    expect(error.code).toBe('tool/timed-out');
  });

  test('a program that does not exist is told as such', async () => {
    const error = await failureOf(
      runPipeline([{ name: 'nothing', file: '/nonexistent/program', args: [] }], { signal: never }),
    );
    expect(['tool/not-started', 'tool/failed']).toContain(error.code);
  });

  test('an error of the consumer wins over the programs that it ended', async () => {
    const error = await failureOf(
      runPipeline([sh('yes')], {
        signal: never,
        killGraceMs: 300,
        consume: async (stdout) => {
          for await (const _ of stdout)
            throw new DropbackError('test/enough', 'enough', { hint: '-' });
        },
      }),
    );
    expect(error.code).toBe('test/enough');
  });

  test('feeds standard input, and survives a reader that leaves early', async () => {
    const text = await capture(sh('cat'), {
      signal: never,
      feed: async (stdin) => {
        stdin.end('fed');
      },
    });
    expect(text).toBe('fed');
    const error = await failureOf(
      runPipeline([sh('exit 4')], {
        signal: never,
        feed: async (stdin) => {
          stdin.end(Buffer.alloc(4 * 1024 * 1024));
        },
      }),
    );
    expect(error.facts).toMatchObject({ exitCode: 4 });
  });

  test('a program that says that its reader is gone is not the cause', async () => {
    const error = await failureOf(
      runPipeline(
        [
          // Notices first, as zstd does: it ignores SIGPIPE, complains, and exits with a code.
          {
            ...sh(
              'trap "" PIPE; sleep 0.1; echo x 2>/dev/null || { echo "Broken pipe" >&2; exit 70; }',
            ),
            name: 'writer',
          },
          {
            ...sh('exec <&-; sleep 0.4; echo "No space left on device" >&2; exit 1'),
            name: 'reader',
          },
        ],
        { signal: never },
      ),
    );
    expect(error.facts).toMatchObject({ program: 'reader' });
  });

  test('nor is tar, which says two things when its reader is gone', async () => {
    const reader =
      'head -c 70000 >/dev/null; exec <&-; sleep 0.4; echo "No space left" >&2; exit 1';
    const tar = { name: 'tar', file: '/usr/bin/env', args: ['tar', '-cf', '-', process.execPath] };
    const error = await failureOf(
      runPipeline([tar, { ...sh(reader), name: 'reader' }], { signal: never }),
    );
    expect(error.facts).toMatchObject({ program: 'reader' });
  });

  test('programs get a minimal environment: nothing of ours that was not asked for', async () => {
    process.env['DROPBACK_TEST_SECRET'] = 'hunter2';
    try {
      const seen = await capture(sh('env', { environment: { PGUSER: 'app' } }), { signal: never });
      expect(seen).toContain('PGUSER=app');
      expect(seen).not.toContain('hunter2');
    } finally {
      delete process.env['DROPBACK_TEST_SECRET'];
    }
  });

  test('a program does not outlive us, even when we are killed with SIGKILL', async () => {
    const script = `
      import { runPipeline } from '${new URL('../../../src/core/runtime/process/pipeline.ts', import.meta.url).href}';
      await runPipeline([{ name: 'sleep', file: '/bin/sh', args: ['-c', 'echo $$ >&2; exec sleep 60'] }], {
        signal: new AbortController().signal,
        onStderr: (_, line) => { console.log(line); setTimeout(() => process.kill(process.pid, 'SIGKILL'), 50); },
      });`;
    const said = await capture(
      {
        name: 'node',
        file: '/bin/sh',
        args: ['-c', '"$0" --input-type=module -e "$1"; true', process.execPath, script],
      },
      { signal: never },
    );
    const pid = Number(said.trim());
    expect(pid).toBeGreaterThan(1);
    await expect.poll(() => alive(pid), { timeout: 3000 }).toBe(false);
  });

  test('what a program that was killed has left running is ended', async () => {
    const script = 'sleep 60 & echo $! >&2; kill -KILL $$';
    let pid = 0;
    const error = await failureOf(
      runPipeline([sh(script)], {
        signal: never,
        onStderr: (_, line) => {
          pid = Number(line);
        },
      }),
    );
    expect(error.facts).toMatchObject({ exitSignal: 'SIGKILL' });
    expect(pid).toBeGreaterThan(1);
    await expect.poll(() => alive(pid), { timeout: 3000 }).toBe(false);
  }, 30_000);

  test('who has left the group and holds the pipes open holds up nothing for ever', async () => {
    const pids: number[] = [];
    const onStderr = (_: string, line: string) => void pids.push(Number(line));
    const leaves = "setsid sh -c 'echo $$ >&2; exec sleep 60' & wait $!";
    const ended = new AbortController();
    const running = failureOf(
      runPipeline([sh(leaves)], { signal: ended.signal, onStderr, killGraceMs: 100 }),
    );
    await expect.poll(() => pids.length, { timeout: 20_000 }).toBe(1);
    ended.abort();
    const late = { signal: never, onStderr, killGraceMs: 100, timeoutMs: 500 };
    const done = failureOf(runPipeline([sh(leaves.replace('wait $!', 'exit 0'))], late));
    try {
      expect((await running).code).toBe('run/aborted');
      expect((await done).code).toBe('tool/timed-out');
    } finally {
      for (const pid of pids) process.kill(pid, 'SIGKILL');
    }
  }, 30_000);

  test('keeps only the tail of what a program prints on standard error', async () => {
    const error = await failureOf(runPipeline([sh('seq 1 10000 >&2; exit 1')], { signal: never }));
    expect((error.facts['stderr'] as string[]).at(-1)).toBe('10000');
    expect((error.facts['stderr'] as string[]).length).toBeLessThanOrEqual(50);
  });
});
