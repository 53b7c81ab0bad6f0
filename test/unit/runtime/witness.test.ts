import { expect, test } from 'vitest';
import { runPipeline } from '../../../src/core/runtime/process/pipeline.ts';
import type { Program } from '../../../src/core/runtime/process/program.ts';
import { witnessed } from '../../../src/core/runtime/process/witness.ts';
import { failureOf } from '../../support/failure.ts';

const never = new AbortController().signal;
const shell = (name: string, script: string, ...args: string[]): Program => ({
  name,
  file: '/bin/sh',
  args: ['-c', script, name, ...args],
});

/** Writes more than a pipe holds, through `tee`, and reads it beside by these programs. */
function run(writer: string, readers: readonly Program[], last: string) {
  return witnessed(
    never,
    (fifo, signal) =>
      runPipeline(
        [shell('writer', writer), shell('tee', 'exec tee "$1"', fifo), shell('last', last)],
        { signal },
      ),
    (source, signal) => runPipeline([source, ...readers], { signal }),
  );
}

const drain = 'cat >/dev/null';

test('a reader that fails is what is told, though its pipeline ends later than the writer', async () => {
  const readers = [
    shell('reader', 'exit 3'),
    // Deaf for a while: the writer has lost its reader long before this pipeline is over.
    shell('slow', 'trap "" TERM; sleep 0.3'),
  ];
  const error = await failureOf(run('yes', readers, drain));
  expect(error.message).toContain('reader exited with code 3');
});

test('a writer that fails is what is told, not the stream that ends early', async () => {
  const readers = [shell('reader', 'cat >/dev/null; exit 3')];
  const first = await failureOf(run('echo x; exit 4', readers, drain));
  expect(first.message).toContain('writer exited with code 4');
  const after = await failureOf(run('yes', readers, 'head -c 200000 >/dev/null; exit 5'));
  expect(after.message).toContain('last exited with code 5');
});
