/**
 * The process that reads the scripts of others, `node tool.ts inspect|rewrite '{…}'`, from standard
 * input: neither their bytes nor the work of looking at them pass through the daemon.
 *
 * `inspect` prints lines of JSON (`ToolMessage`), `rewrite` prints the script for psql and writes its
 * one message to descriptor 3. Exit status: 0 done, 10 an error that was told, anything else a crash.
 */
import { readSync, writeSync } from 'node:fs';
import { Writable } from 'node:stream';
import { tooLarge } from '../../../archive/compression.ts';
import { TOLD_ERROR, tellError } from '../../../runtime/process/told-error.ts';
import { ScriptInspector } from './inspection.ts';
import { tooManyNames } from './refusals.ts';
import { type RewriteResult, rewriteScript } from './rewrite.ts';
import type { ScriptSummary } from './summary.ts';
import type { AnswerLimit, InspectRequest, RewriteRequest, ToolMessage } from './tool-protocol.ts';

/** One buffer for all of it: memory is the same for every size of script. */
const BUFFER_BYTES = 256 * 1024;
const PROGRESS_BYTES = 16 * 1024 * 1024;
const STDOUT = 1;
const MESSAGES = 3;

function* chunksOfInput(): Generator<Buffer> {
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  for (;;) {
    const bytes = readSync(0, buffer);
    if (bytes === 0) return;
    yield buffer.subarray(0, bytes);
  }
}

function writeWhole(descriptor: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at);
}

/** Throws `drop/too-many-objects` instead of what the daemon couldn't hold. */
function answer(
  descriptor: number,
  result: ScriptSummary | RewriteResult,
  limit: AnswerLimit,
): void {
  const { mostAnswerBytes } = limit;
  const bytes = jsonBytes({ result });
  if (bytes === undefined || bytes.length > mostAnswerBytes) throw tooManyNames(mostAnswerBytes);
  writeWhole(descriptor, bytes);
}

/** Undefined where it is longer than any text can be. */
function jsonBytes(message: ToolMessage): Buffer | undefined {
  try {
    return Buffer.from(`${JSON.stringify(message)}\n`);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function say(descriptor: number, message: ToolMessage): void {
  writeWhole(descriptor, Buffer.from(`${JSON.stringify(message)}\n`));
}

/** What is in a script doesn't depend on which server will run it. */
const ANY_SERVER = { serverMajor: 0 };

function inspect({ limits, ...answerLimit }: InspectRequest): void {
  const inspector = new ScriptInspector(ANY_SERVER);
  let told = 0;
  for (const chunk of chunksOfInput()) {
    inspector.push(chunk);
    if (limits && inspector.bytes > limits.mostBytes) throw tooLarge(limits);
    if (inspector.bytes - told < PROGRESS_BYTES) continue;
    told = inspector.bytes;
    say(STDOUT, { progress: told });
  }
  answer(STDOUT, inspector.end(), answerLimit);
}

/** What is written is written when `write` returns: the buffer may be filled again. */
async function rewrite(options: RewriteRequest): Promise<void> {
  const output = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      try {
        writeWhole(STDOUT, chunk);
        done();
      } catch (error) {
        done(error as Error);
      }
    },
  });
  const { signal } = new AbortController();
  const result = await rewriteScript(chunksOfInput(), output, { ...options, signal });
  answer(MESSAGES, result, options);
}

async function main(): Promise<number> {
  const [operation, request = ''] = process.argv.slice(2);
  const options = JSON.parse(request);
  try {
    if (operation === 'inspect') inspect(options as InspectRequest);
    else await rewrite(options as RewriteRequest);
    return 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EPIPE') throw new Error('broken pipe');
    say(operation === 'inspect' ? STDOUT : MESSAGES, tellError(error));
    return TOLD_ERROR;
  }
}

process.umask(0o077);
process.exitCode = await main().catch((error: Error) => {
  process.stderr.write(`${error.stack}\n${error.message}\n`);
  return 1;
});
