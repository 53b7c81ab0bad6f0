import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Writable } from 'node:stream';
import { inspectScript } from '../script/inspection.ts';
import { type RewriteResult, rewriteScript } from '../script/rewrite.ts';
import type { ScriptSummary } from '../script/summary.ts';
import { inspectByTool, readRewritten } from '../script/tool-client.ts';

/**
 * Definitions of more bytes are read by a process of its own, as scripts are: a statement becomes
 * about a hundred times its size while it is looked at. For fewer it takes longer to start one.
 */
const MOST_IN_DAEMON_BYTES = 1024 * 1024;

/** What is in the definitions of a foreign archive, written as a script. Throws as `inspectScript`. */
export async function inspectDefinitions(
  file: string,
  serverMajor: number,
  signal: AbortSignal,
): Promise<ScriptSummary> {
  const { size } = await stat(file);
  if (size <= MOST_IN_DAEMON_BYTES) return inspectScript(file, { signal, serverMajor });
  return inspectByTool({ path: file, contentBytes: size }, { signal, onProgress: () => {} });
}

/** Owners and grants in there; the script runs nowhere. Throws as `rewriteScript`. */
export async function rewriteDefinitions(
  file: string,
  serverMajor: number,
  signal: AbortSignal,
): Promise<RewriteResult> {
  const { size } = await stat(file);
  if (size > MOST_IN_DAEMON_BYTES) {
    const script = { path: file, contentBytes: size };
    return readRewritten(script, { signal, serverMajor, onStderr: () => {} });
  }
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const input = createReadStream(file, { signal }) as AsyncIterable<Buffer>;
  return rewriteScript(input, nowhere, { signal, serverMajor });
}
