import { createHash } from 'node:crypto';
import { promisedBy } from '../../core/archive/detect.ts';

/** What the daemon does with a name in the drop folder; the file behind it isn't looked at. */
export type NameVerdict =
  | { readonly kind: 'drop'; readonly force: boolean }
  /** A transfer in progress, a dotfile, an editor's copy: not told. */
  | { readonly kind: 'temporary' }
  /** No dump's name: told once, left alone. */
  | { readonly kind: 'foreign' };

const TEMPORARY = /^\.|~$|\.(part|partial|tmp|temp|filepart|crdownload|download|swp|upload|!ut)$/i;

export function judgeName(name: string): NameVerdict {
  if (TEMPORARY.test(name)) return { kind: 'temporary' };
  const promised = promisedBy(name);
  if (!promised) return { kind: 'foreign' };
  const stem = name.slice(0, -promised.extension.length);
  return { kind: 'drop', force: /\.force$/i.test(stem) };
}

/** A byte that no dump's name needs, and that a terminal, a shell or a log could act on. */
const UNSAFE = /[^\p{L}\p{M}\p{N} ._+@=,~()[\]{}-]/gu;
const MOST_BYTES = 200;

/**
 * The name under which a file is filed away and spoken of: the dropped one where that is harmless,
 * else with `_` for control characters, quotes, line breaks and bytes that aren't UTF-8. Long names
 * are cut in the middle, so that the extension and `.report.json` fit.
 */
export function safeName(raw: Buffer): string {
  const text = raw
    .toString('utf8')
    .normalize('NFC')
    .replace(/\uFFFD/g, '_')
    .replace(UNSAFE, '_');
  const name = text.replace(/^[-.~ ]+/, (found) => '_'.repeat(found.length)) || '_';
  if (Buffer.byteLength(name) <= MOST_BYTES) return name;
  const extension = promisedBy(name)?.extension ?? '';
  const digest = createHash('sha256').update(raw).digest('hex').slice(0, 8);
  return `${cutBytes(name, MOST_BYTES - extension.length - 9)}~${digest}${extension}`;
}

function cutBytes(text: string, bytes: number): string {
  let cut = '';
  let size = 0;
  for (const character of text) {
    size += Buffer.byteLength(character);
    if (size > bytes) break;
    cut += character;
  }
  return cut;
}
