/**
 * What a text says where it is written so that it survives in an address, a form, in JSON or in HTML.
 * Each returns the text itself where nothing is written so.
 */
export const readings: readonly ((text: string) => string)[] = [
  fromPercents,
  fromForm,
  fromJson,
  fromHtml,
];

/** How often a text may be written so one after the other: JSON in JSON in a line of a log. */
export const DEPTH = 3;

/** Both alphabets; shorter runs hold no secret that is looked for. */
export const BASE64 = /[\w+/-]{8,}/g;

/** The text and all that it may say, as one text to look into. */
export function everyReading(text: string): string {
  const all = new Set([text]);
  for (const read of readings) {
    let said = text;
    for (let n = 0; n < DEPTH; n++) {
      said = read(said);
      all.add(said);
    }
  }
  for (const run of text.match(BASE64) ?? []) for (const said of base64Readings(run)) all.add(said);
  return [...all].join('\n');
}

/** What base64 says, wherever it begins in these characters. */
export function base64Readings(run: string): string[] {
  return [0, 1, 2, 3].map((at) => Buffer.from(run.slice(at), 'base64').toString());
}

function fromPercents(text: string): string {
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (bytes) =>
    Buffer.from(bytes.replaceAll('%', ''), 'hex').toString(),
  );
}

function fromForm(text: string): string {
  return text.includes('+') ? fromPercents(text.replaceAll('+', ' ')) : text;
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', b: '\b', f: '\f' };

function fromJson(text: string): string {
  return text.replace(/\\(?:u([0-9a-f]{4})|(.))/gi, (_, code?: string, letter = '') =>
    code === undefined
      ? (ESCAPES[letter] ?? letter)
      : String.fromCharCode(Number.parseInt(code, 16)),
  );
}

const ENTITIES: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
};

function fromHtml(text: string): string {
  return text.replace(
    /&(?:#x([0-9a-f]{1,6})|#(\d{1,7})|(amp|lt|gt|quot|apos));/gi,
    (written, hex?: string, number?: string, name = '') => {
      if (name !== '') return ENTITIES[name.toLowerCase()] ?? written;
      const code = hex === undefined ? Number(number) : Number.parseInt(hex, 16);
      return code <= 0x10ffff ? String.fromCodePoint(code) : written;
    },
  );
}
