import { DropbackError, messageOf } from '../../../runtime/errors.ts';
import type { Location } from '../owner.ts';
import type { FileFacts } from '../protocol.ts';
import type { SqliteTool } from '../tool-client.ts';

/** The live file as a restore finds it. */
export type Live =
  | { readonly kind: 'sound'; readonly facts: FileFacts }
  | { readonly kind: 'missing' }
  /** SQLite can't open it: the more reason to restore, but nothing can be compared or proven. */
  | { readonly kind: 'damaged'; readonly why: string };

export async function lookAtLive(
  tool: SqliteTool,
  { path, exists, runAs }: Location,
  signal: AbortSignal,
): Promise<Live> {
  if (!exists) return { kind: 'missing' };
  try {
    return { kind: 'sound', facts: await tool.ask('probe', { path }, { runAs, signal }) };
  } catch (error) {
    if (!(error instanceof DropbackError)) throw error;
    if (error.code === 'database/missing') return { kind: 'missing' };
    if (['database/corrupt', 'database/not-sqlite'].includes(error.code)) {
      return { kind: 'damaged', why: messageOf(error) };
    }
    throw error;
  }
}
