import { decoderLabel, encodingName, isLatin1 } from '../encoding-labels.ts';

/**
 * Decodes names of an archive in that encoding, kept as latin1. Throws RangeError for one that Node
 * can't decode.
 */
export function decoderOf(encoding: string): (raw: string) => string {
  const name = encodingName(encoding);
  if (isLatin1(name)) return (raw) => raw;
  const decoder = new TextDecoder(decoderLabel(name) ?? encoding);
  return (raw) => decoder.decode(Buffer.from(raw, 'latin1'));
}
