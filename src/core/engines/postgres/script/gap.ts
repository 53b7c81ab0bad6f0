import { WHITESPACE } from './bytes.ts';

export interface Gap {
  readonly kind: 'blank' | 'comment' | 'meta' | 'statement' | 'wait';
  readonly end: number;
}

/**
 * What stands at `at`, between statements. `wait`: the bytes don't hold it whole. `offset` is the
 * place in the script: a byte order mark counts as white space at its very beginning.
 */
export function gapAt(bytes: Buffer, at: number, offset: number, final: boolean): Gap {
  const first = bytes[at] as number;
  const second = bytes[at + 1];
  if (WHITESPACE[first] === 1) return { kind: 'blank', end: endOfSpace(bytes, at) };
  if (offset === 0 && first === 0xef) return byteOrderMark(bytes, at, final);
  if (first === 0x5c) return lineFrom(bytes, at, final, 'meta');
  if (first !== 0x2d && first !== 0x2f) return { kind: 'statement', end: at };
  if (second === undefined && !final) return { kind: 'wait', end: at };
  if (first === 0x2d && second === 0x2d) return lineFrom(bytes, at, final, 'comment');
  if (first === 0x2f && second === 0x2a) return blockComment(bytes, at);
  return { kind: 'statement', end: at };
}

function endOfSpace(bytes: Buffer, at: number): number {
  let end = at + 1;
  while (end < bytes.length && WHITESPACE[bytes[end] as number] === 1) end++;
  return end;
}

function byteOrderMark(bytes: Buffer, at: number, final: boolean): Gap {
  if (bytes.length - at < 3 && !final) return { kind: 'wait', end: at };
  const isMark = bytes[at + 1] === 0xbb && bytes[at + 2] === 0xbf;
  return isMark ? { kind: 'blank', end: at + 3 } : { kind: 'statement', end: at };
}

/** A comment ends at a carriage return as well; a meta-command takes the whole line. */
function lineFrom(bytes: Buffer, at: number, final: boolean, kind: 'comment' | 'meta'): Gap {
  let end = at;
  while (end < bytes.length) {
    const byte = bytes[end];
    if (byte === 0x0a || (byte === 0x0d && kind === 'comment')) return { kind, end };
    end++;
  }
  return final ? { kind, end } : { kind: 'wait', end: at };
}

function blockComment(bytes: Buffer, at: number): Gap {
  let depth = 0;
  for (let end = at; end + 1 < bytes.length; ) {
    if (bytes[end] === 0x2f && bytes[end + 1] === 0x2a) {
      depth++;
      end += 2;
    } else if (bytes[end] === 0x2a && bytes[end + 1] === 0x2f) {
      depth--;
      end += 2;
      if (depth === 0) return { kind: 'comment', end };
    } else {
      end++;
    }
  }
  return { kind: 'wait', end: at };
}
