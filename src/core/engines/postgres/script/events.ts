import type { CopyHeader } from './copy-header.ts';

/**
 * What a plain script consists of, in order. The `bytes` of all events joined are the input.
 *
 * - `blank`: white space between statements, a byte order mark, the rest of a COPY line
 * - `comment`: one `--` line without its end of line, or one block comment
 * - `meta`: a line that begins with a backslash
 * - `statement`: up to and including its semicolon
 * - `part`: a piece of an INSERT too long to be held as one
 * - `copy`: the statement that opens a block; then any number of `copy-data`; then `copy-end`
 */
export type ScriptEvent =
  | (Located & { readonly kind: 'blank' | 'comment' | 'meta' })
  | StatementEvent
  | PartEvent
  | (Located & { readonly kind: 'copy'; readonly header: CopyHeader })
  | (Located & { readonly kind: 'copy-data'; readonly lines: number })
  | (Located & { readonly kind: 'copy-end' });

export interface Located {
  readonly bytes: Buffer;
  /** Of the first byte, from the start of the script. */
  readonly offset: number;
  /** Line of the first byte, counted from 1. */
  readonly line: number;
}

export interface StatementEvent extends Located {
  readonly kind: 'statement';
  /** Parenthesised groups at the outermost level: the rows of an INSERT (and its column list). */
  readonly groups: number;
  /** Positions in `bytes` of colons behind which psql would put a variable's value. */
  readonly colons: readonly number[];
}

export interface PartEvent extends Located {
  readonly kind: 'part';
  /** `groups` is that of the whole statement on the last part. */
  readonly groups: number;
  readonly colons: readonly number[];
  readonly first: boolean;
  readonly last: boolean;
}
