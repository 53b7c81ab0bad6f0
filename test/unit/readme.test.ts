import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { variablesAsMarkdown } from '../../src/core/config/variables-table.ts';

test("the README's tables of variables are the code's (npm run docs)", () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  expect(readme).toContain(variablesAsMarkdown());
});
