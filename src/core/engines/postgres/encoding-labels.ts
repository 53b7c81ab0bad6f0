/** PostgreSQL's encoding names, letters and digits alone, and what TextDecoder calls them. */
const LABELS: Readonly<Record<string, string>> = {
  UTF8: 'utf-8',
  UNICODE: 'utf-8',
  SQLASCII: 'utf-8',
  EUCJP: 'euc-jp',
  EUCJIS2004: 'euc-jp',
  EUCKR: 'euc-kr',
  EUCCN: 'gbk',
  LATIN2: 'iso-8859-2',
  LATIN3: 'iso-8859-3',
  LATIN4: 'iso-8859-4',
  LATIN5: 'iso-8859-9',
  LATIN6: 'iso-8859-10',
  LATIN7: 'iso-8859-13',
  LATIN8: 'iso-8859-14',
  LATIN9: 'iso-8859-15',
  LATIN10: 'iso-8859-16',
  ISO88595: 'iso-8859-5',
  ISO88596: 'iso-8859-6',
  ISO88597: 'iso-8859-7',
  ISO88598: 'iso-8859-8',
  KOI8R: 'koi8-r',
  KOI8U: 'koi8-u',
  WIN866: 'ibm866',
  WIN874: 'windows-874',
};

/** As PostgreSQL compares encoding names: `utf-8` and `UTF8` are one. */
export function encodingName(declared: string): string {
  return declared.toUpperCase().replace(/[^A-Z0-9]/g, '');
}

/** Its characters are bytes. (TextDecoder takes windows-1252 for it, which differs from 0x80 to 0x9f.) */
export function isLatin1(name: string): boolean {
  return name === 'LATIN1' || name === 'ISO88591';
}

/** Of an encoding that `encodingName` returned; undefined where PostgreSQL and the WHATWG agree on none. */
export function decoderLabel(name: string): string | undefined {
  const windows = /^WIN(125[0-8])$/.exec(name)?.[1];
  return windows ? `windows-${windows}` : LABELS[name];
}
