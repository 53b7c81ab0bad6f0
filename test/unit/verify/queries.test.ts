import { expect, test } from 'vitest';
import { sparkline } from '../../../src/cli/sparkline.ts';
import { splitQueries } from '../../../src/core/config/verify.ts';
import { requireNotBehind } from '../../../src/core/engines/postgres/rehearsal/compare.ts';

test.each<[string, string[]]>([
  ['', []],
  [' ; ;\n', []],
  ['-- only this\n/* and; this */', []],
  ['SELECT 1', ['SELECT 1']],
  ['SELECT 1; SELECT 2;', ['SELECT 1', 'SELECT 2']],
  ["SELECT 'a;b' = 'it''s;' ; SELECT 2", ["SELECT 'a;b' = 'it''s;'", 'SELECT 2']],
  ['SELECT ";" FROM "a""b;c"; SELECT 2', ['SELECT ";" FROM "a""b;c"', 'SELECT 2']],
  ['SELECT $x$ ; $y$ ; $x$; SELECT $$;$$', ['SELECT $x$ ; $y$ ; $x$', 'SELECT $$;$$']],
  ['SELECT 1 -- a;b\n + 1; SELECT 4 / 2 - 1', ['SELECT 1 -- a;b\n + 1', 'SELECT 4 / 2 - 1']],
  ['SELECT /* ; */ 1; SELECT 2', ['SELECT /* ; */ 1', 'SELECT 2']],
])('the queries of %j', (text, queries) => expect(splitQueries(text)).toEqual(queries));

test('sizes as a line', () => {
  expect(sparkline([1, 2, 3, 4, 5, 6, 7, 8])).toBe('▁▂▃▄▅▆▇█');
  expect(sparkline([5, 5, 5])).toBe('▄▄▄');
  expect(sparkline([0, 1_000_000])).toBe('▁█');
  expect(sparkline([])).toBe('');
});

test('sequences are compared as numbers of any size, in their own direction', () => {
  const up = { schema: 's', name: 'up', last: '9007199254740993', isAscending: true };
  const down = { schema: 's', name: 'down', last: '-10', isAscending: false };
  requireNotBehind(
    [up, down],
    [
      { ...up, last: '9007199254740993' },
      { ...down, last: '-11' },
    ],
  );
  requireNotBehind([], [up]);
  const behind = (...found: (typeof up)[]) => {
    return () => requireNotBehind([up, down], found);
  };
  expect(behind({ ...up, last: '9007199254740992' }, down)).toThrow(/s\.up is 9007199254740992/);
  expect(behind(up, { ...down, last: '-9' })).toThrow(/s\.down is -9, it was -10/);
  expect(behind(up)).toThrow(/s\.down is at its beginning/);
});
