/** PostgreSQL's encoding names that differ from the WHATWG's labels by more than case and dashes. */
const LABELS: Readonly<Record<string, string>> = {
  UTF8: 'utf-8',
  SQL_ASCII: 'utf-8',
  EUC_JP: 'euc-jp',
  EUC_JIS_2004: 'euc-jp',
  EUC_KR: 'euc-kr',
  EUC_CN: 'gbk',
  LATIN1: 'iso-8859-1',
  LATIN2: 'iso-8859-2',
  LATIN3: 'iso-8859-3',
  LATIN4: 'iso-8859-4',
  LATIN5: 'iso-8859-9',
  LATIN6: 'iso-8859-10',
  LATIN7: 'iso-8859-13',
  LATIN8: 'iso-8859-14',
  LATIN9: 'iso-8859-15',
  LATIN10: 'iso-8859-16',
  ISO_8859_5: 'iso-8859-5',
  ISO_8859_6: 'iso-8859-6',
  ISO_8859_7: 'iso-8859-7',
  ISO_8859_8: 'iso-8859-8',
  KOI8R: 'koi8-r',
  KOI8U: 'koi8-u',
  WIN866: 'ibm866',
  WIN874: 'windows-874',
};

/**
 * Decodes names of an archive in that encoding, kept as latin1. Throws RangeError for one that Node
 * can't decode.
 */
export function decoderOf(encoding: string): (raw: string) => string {
  const windows = /^WIN(125\d)$/.exec(encoding)?.[1];
  const decoder = new TextDecoder(windows ? `windows-${windows}` : (LABELS[encoding] ?? encoding));
  return (raw) => decoder.decode(Buffer.from(raw, 'latin1'));
}
