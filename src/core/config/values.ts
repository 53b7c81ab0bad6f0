import { z } from 'zod';

/**
 * How the text of a variable becomes a value. A message completes "NAME …" and never repeats the
 * text (it may be a secret); `params.hint` says what to write instead.
 */
type Refusal = { readonly message: string; readonly hint: string };

/** A schema from a function that returns the value or says what is wrong. */
export function value<T>(parse: (text: string) => { ok: T } | Refusal): z.ZodType<T, string> {
  return z.string().transform((text, context): T => {
    const result = parse(text);
    if ('ok' in result) return result.ok;
    context.addIssue({ code: 'custom', message: result.message, params: { hint: result.hint } });
    return z.NEVER;
  });
}

const booleans: Record<string, boolean> = {
  true: true,
  false: false,
  1: true,
  0: false,
  yes: true,
  no: false,
  on: true,
  off: false,
};

export const boolean = value<boolean>((text) => {
  const found = booleans[text.trim().toLowerCase()];
  if (found !== undefined) return { ok: found };
  return { message: 'must be true or false', hint: 'write true or false.' };
});

/** A whole number within the bounds. */
export function integer(least: number, most: number, unit = ''): z.ZodType<number, string> {
  const range = `from ${least} to ${most}${unit && ` ${unit}`}`;
  return value((text) => {
    const number = /^\d{1,16}$/.test(text.trim()) ? Number(text) : Number.NaN;
    if (number >= least && number <= most) return { ok: number };
    return { message: `must be a whole number ${range}`, hint: `write digits only, ${range}.` };
  });
}

const UNITS: Record<string, number> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
};

/** Bytes, with or without a unit. `unit` is what they are bytes of, for messages. */
export function size(least: number, unit: string): z.ZodType<number, string> {
  return value((text) => {
    const [, number, word] = /^(\d{1,15}(?:\.\d{1,3})?) ?([a-z]{0,3})$/i.exec(text.trim()) ?? [];
    const bytes = Math.round(Number(number) * (UNITS[word?.toLowerCase() ?? ''] ?? Number.NaN));
    if (bytes >= least && Number.isSafeInteger(bytes)) return { ok: bytes };
    return {
      message: `must be a number of ${unit}, ${least} or more`,
      hint: 'write for example 5MB, 500kB or 8MiB; a bare number is bytes.',
    };
  });
}

/** A number of seconds, fractions allowed, as milliseconds. */
export function seconds(least: number, most: number): z.ZodType<number, string> {
  const range = `from ${least} to ${most}`;
  return value((text) => {
    const number = /^\d{1,10}(\.\d{1,3})?$/.test(text.trim()) ? Number(text) : Number.NaN;
    if (number >= least && number <= most) return { ok: Math.round(number * 1000) };
    return {
      message: `must be a number of seconds ${range}`,
      hint: `write a number without a unit, ${range}.`,
    };
  });
}

/** One of some words, upper and lower case alike. */
export function choice<const T extends string>(...options: T[]): z.ZodType<T, string> {
  const shown = options.join(', ');
  return value((text) => {
    const found = options.find((option) => option.toLowerCase() === text.trim().toLowerCase());
    if (found !== undefined) return { ok: found };
    return { message: `must be one of ${shown}`, hint: `write one of ${shown}.` };
  });
}

/** Text of a given form, surrounding space removed. */
export function matching(
  pattern: RegExp,
  message: string,
  hint: string,
): z.ZodType<string, string> {
  return value((text) => (pattern.test(text.trim()) ? { ok: text.trim() } : { message, hint }));
}

/** A path; made absolute by the parser, which knows the working folder. */
export const path = value<string>((text) => {
  if (!text.includes('\0')) return { ok: text };
  return { message: 'holds a NUL byte', hint: 'write a path.' };
});

/** Comma-separated; a comma between double quotes belongs to the item. */
export const list = value<readonly string[]>((text) => {
  const items = text.match(/(?:"[^"]*"|[^",]|"[^"]*$)+/g) ?? [];
  if (((text.match(/"/g) ?? []).length & 1) === 1) {
    return {
      message: 'has an opening double quote without a closing one',
      hint: 'close the quote.',
    };
  }
  return { ok: items.map((item) => item.trim()).filter((item) => item !== '') };
});
