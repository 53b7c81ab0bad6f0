import { randomBytes } from 'node:crypto';
import { constants, readFileSync } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { getHeapStatistics } from 'node:v8';
import { plausibleContent } from '../../../archive/compression.ts';
import { readAt } from '../../../archive/detect.ts';
import { pipeContent } from '../../../archive/packed-content.ts';
import type { UnpackedDrop } from '../../../archive/unpacked.ts';
import { DropbackError } from '../../../runtime/errors.ts';
import type { Program } from '../../../runtime/process/program.ts';
import { TOLD_ERROR, toldError } from '../../../runtime/process/told-error.ts';
import type { DispositionOptions } from './disposition.ts';
import { tooComplex } from './refusals.ts';
import type { RewriteResult } from './rewrite.ts';
import type { ScriptSummary } from './summary.ts';
import type { AnswerLimit, InspectRequest, RewriteRequest, ToolMessage } from './tool-protocol.ts';

const TOOL = 'script tool';

export type Script = Pick<UnpackedDrop, 'path' | 'packed' | 'contentBytes'>;

/** Far more than its longest statements and longest lists need; of files, its one message. */
const LIMITS = { dataBytes: 2 * 1024 ** 3, fileBytes: 1024 ** 3 };

export interface InspectOptions {
  readonly signal: AbortSignal;
  /** Told the part that was read, 0 to 1. */
  readonly onProgress: (fraction: number) => void;
}

/**
 * Reads a script whole, unpacking it on the way, and says what is in it; stores nothing. Throws as
 * `inspectScript` does, `drop/too-large`, and what damage to its packing means.
 */
export async function inspectByTool(
  script: Script,
  { signal, onProgress }: InspectOptions,
): Promise<ScriptSummary> {
  const limits = script.packed && plausibleContent(script.contentBytes);
  const request: InspectRequest = { ...answerLimit(), ...(limits ? { limits } : {}) };
  let input: FileHandle | undefined;
  let last: ToolMessage | undefined;
  const work = pipeContent(script, [tool('inspect', request)], {
    signal,
    onOpen: (file) => {
      input = file;
    },
    consume: async (stdout) => {
      for await (const line of createInterface({ input: stdout })) {
        const message = JSON.parse(line) as ToolMessage;
        if (!('progress' in message)) last = message;
        else if (input) onProgress(positionOf(input) / Math.max(1, script.contentBytes));
      }
    },
  });
  return answerOf(await settled(work), last) as ScriptSummary;
}

export interface RewriteOptions extends DispositionOptions {
  readonly signal: AbortSignal;
  readonly onStderr: (program: string, line: string) => void;
}

/**
 * Reads a script, unpacking it on the way, and has `psql` run what the load role is to run of it.
 * Throws as `rewriteScript` and `inspectByTool` do; where psql fails, `tool/failed`.
 */
export function runRewritten(
  script: Script,
  psql: Program,
  options: RewriteOptions,
): Promise<RewriteResult> {
  return rewriteInto(script, [psql], options);
}

/** The same, and nobody runs it: for the owners and grants that it tells. */
export function readRewritten(script: Script, options: RewriteOptions): Promise<RewriteResult> {
  return rewriteInto(script, [], options);
}

async function rewriteInto(
  script: Script,
  readers: readonly Program[],
  { signal, onStderr, ...options }: RewriteOptions,
): Promise<RewriteResult> {
  await using messages = await namelessFile(script.path);
  const request = { ...options, ...answerLimit() };
  const rewriter = { ...tool('rewrite', request), files: [messages.fd] };
  const programs = [rewriter, ...readers] as const;
  const failure = await settled(pipeContent(script, programs, { signal, onStderr }));
  const { size } = await messages.stat();
  const said = await readAt(messages, 0, size);
  const last = size === 0 ? undefined : (JSON.parse(said.toString()) as ToolMessage);
  return answerOf(failure, last) as RewriteResult;
}

/** As text; what it becomes when it is parsed is some times as much. */
const HEAP_SHARE = 8;

function answerLimit(): AnswerLimit {
  return { mostAnswerBytes: Math.floor(getHeapStatistics().heap_size_limit / HEAP_SHARE) };
}

function tool(operation: 'inspect' | 'rewrite', request: InspectRequest | RewriteRequest): Program {
  // The sources are run as .ts, the built ones as .js.
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const script = fileURLToPath(new URL(`./tool.${extension}`, import.meta.url));
  return {
    name: TOOL,
    file: process.execPath,
    args: ['--disable-warning=ExperimentalWarning', script, operation, JSON.stringify(request)],
    limits: LIMITS,
    successCodes: [0, TOLD_ERROR],
  };
}

async function settled(work: Promise<void>): Promise<unknown> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return error;
  }
}

/**
 * Damage to the packing, a full disk and an abort come before what the tool makes of an input that
 * ends early; what it refuses comes before what the end of its output makes of psql.
 */
function answerOf(failure: unknown, last: ToolMessage | undefined): ScriptSummary | RewriteResult {
  const isProgram = failure instanceof DropbackError && failure.code === 'tool/failed';
  if (failure !== undefined && !isProgram) throw failure;
  if (last && 'error' in last) throw toldError(last, 'script tool');
  if (failure !== undefined) throw isOfTool(failure) ? tooComplex(failure) : failure;
  if (last && 'result' in last) return last.result;
  throw toldError(last, 'script tool');
}

function isOfTool(failure: unknown): boolean {
  return failure instanceof DropbackError && failure.facts['program'] === TOOL;
}

/** A new file that has no name any more: nobody has to remove it. */
async function namelessFile(beside: string): Promise<FileHandle> {
  const path = `${beside}.${randomBytes(8).toString('hex')}`;
  const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } = constants;
  const file = await open(path, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR, 0o600);
  await unlink(path);
  return file;
}

/** How far a program has read a file whose descriptor it shares; 0 where that isn't told. */
function positionOf({ fd }: FileHandle): number {
  try {
    return Number(
      /^pos:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1] ?? 0,
    );
  } catch {
    return 0;
  }
}
