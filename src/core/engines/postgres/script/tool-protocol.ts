import type { ContentLimits } from '../../../archive/compression.ts';
import type { ToldError } from '../../../runtime/process/told-error.ts';
import type { DispositionOptions } from './disposition.ts';
import type { RewriteResult } from './rewrite.ts';
import type { ScriptSummary } from './summary.ts';

/** What `tool.ts` is asked, as JSON in its arguments: nothing in it is secret. */
export interface AnswerLimit {
  /** The daemon holds the answer in memory: one that is longer is refused instead. */
  readonly mostAnswerBytes: number;
}

export interface InspectRequest extends AnswerLimit {
  /** More than that is refused while it is read. */
  readonly limits?: ContentLimits;
}

export type RewriteRequest = DispositionOptions & AnswerLimit;

export type ToolMessage =
  /** Bytes of the content that were read so far. */
  | { readonly progress: number }
  | { readonly result: ScriptSummary | RewriteResult }
  | { readonly error: ToldError };
