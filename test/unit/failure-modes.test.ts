import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

const page = readFileSync(new URL('../../docs/failure-modes.md', import.meta.url), 'utf8');
const isRow = (line: string) => line.startsWith('| ') && !line.startsWith('| fault |');
const rows = page
  .split('\n')
  .filter(isRow)
  .map((line) => ({ fault: line.split(' | ')[0]?.slice(2), line }));

/** `path`: “name of a test in it” */
const NAMED = /`(test\/[\w./-]+\.ts)`: “([^”]+)”/g;
const source = (path: string) => new URL(`../../${path}`, import.meta.url);

describe('docs/failure-modes.md', () => {
  test('is a table of faults', () => {
    expect(rows.length).toBeGreaterThan(50);
  });

  test.each(rows)('names tests that exist: $fault', ({ line }) => {
    const named = [...line.matchAll(NAMED)];
    expect(named.length).toBeGreaterThan(0);
    for (const [, path = '', name = ''] of named) {
      expect(existsSync(source(path)), path).toBe(true);
      const code = readFileSync(source(path), 'utf8').replaceAll("\\'", "'");
      const quoted = [`'${name}'`, `"${name}"`, `\`${name}\``];
      expect(
        quoted.some((text) => code.includes(text)),
        `${path}: ${name}`,
      ).toBe(true);
    }
  });
});
