import { StatementReader } from './reader.ts';

/** The head of a COPY block. Names are as in the script, decoded, quotes removed. */
export interface CopyHeader {
  readonly schema: string | undefined;
  readonly table: string;
  /** Each line of the data is one row (text format; a CSV field may hold line ends). */
  readonly lineIsRow: boolean;
  /** Binary data has no end marker; psql would read on to the end of the script. */
  readonly binary: boolean;
}

/** `COPY … FROM STDIN …`; undefined for every other statement, `COPY … TO` and files included. */
export function parseCopyHeader(
  bytes: Buffer,
  decode: (text: string) => string,
): CopyHeader | undefined {
  const first = bytes[0];
  if (first !== undefined && (first | 0x20) !== 0x63 && first !== 0x2f) return undefined;
  const reader = new StatementReader(bytes, decode);
  if (!reader.words('copy')) return undefined;
  let binary = reader.words('binary');
  const name = reader.qualifiedName();
  if (!name) return undefined;
  if (reader.symbol('(')) reader.skipGroup();
  if (!reader.words('from', 'stdin')) return undefined;
  let csv = false;
  for (let token = reader.next(); token; token = reader.next()) {
    if (token.type !== 'word' && token.type !== 'string') continue;
    const text = token.text.toLowerCase();
    if (text === 'csv') csv = true;
    if (text === 'binary') binary = true;
  }
  return { schema: name.schema, table: name.name, lineIsRow: !csv && !binary, binary };
}
