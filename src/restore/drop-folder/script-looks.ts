import type { FileHandle } from 'node:fs/promises';
import { recognise } from '../../core/archive/detect.ts';
import { peekContent } from '../../core/archive/packed-content.ts';
import type { ScriptSummary } from '../../core/engines/postgres/script/summary.ts';
import { inspectByTool } from '../../core/engines/postgres/script/tool-client.ts';
import { DropbackError, throwIfAborted } from '../../core/runtime/errors.ts';
import { signatureOf } from './scan.ts';

/**
 * Whether a compressed script is all there is only seen at its end. Whoever reads it that far may as
 * well look at what is in it: the inspection of the very same file, once it is claimed, is done then.
 */
export class ScriptLooks {
  /** One is enough: what was looked at is begun next. */
  #last: { readonly signature: string; readonly summary: ScriptSummary } | undefined;

  /**
   * True for a script for PostgreSQL that is whole and would be inspected without a finding. False is
   * no verdict. Throws `drop/truncated` where the compressed data end early.
   */
  async findsWhole(file: FileHandle, signal: AbortSignal): Promise<boolean> {
    if (process.platform !== 'linux') return false;
    const stats = await file.stat({ bigint: true });
    // Each reader begins at its beginning: an open file of its own, of the very same file.
    const path = `/proc/self/fd/${file.fd}`;
    const script = {
      path,
      packed: { compression: 'gzip' },
      contentBytes: Number(stats.size),
    } as const;
    try {
      const found = recognise(await peekContent(script, signal));
      if (found.kind !== 'archive' || found.format !== 'postgres-plain') return false;
      const summary = await inspectByTool(script, { signal, onProgress: () => {} });
      this.#last = { signature: signatureOf(stats), summary };
      return true;
    } catch (error) {
      throwIfAborted(signal);
      if (isCut(error)) throw error;
      return false;
    }
  }

  /** What was found in the file that was claimed, if it was looked at as it is. Forgets it. */
  take(signature: string): ScriptSummary | undefined {
    const last = this.#last;
    this.#last = undefined;
    return last?.signature === signature ? last.summary : undefined;
  }
}

/** The compression, not the script in it: that one may have been dumped by half. */
function isCut(error: unknown): boolean {
  if (!(error instanceof DropbackError) || error.code !== 'drop/truncated') return false;
  return error.facts['compression'] !== undefined;
}
