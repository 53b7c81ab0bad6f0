import { describe, expect, test } from 'vitest';
import { isOurName, ourName } from '../../../src/core/engines/sqlite/names.ts';
import {
  type Comparison,
  differences,
  requireSameApplication,
} from '../../../src/core/engines/sqlite/restore/differences.ts';
import type { DropbackError } from '../../../src/core/runtime/errors.ts';

const table = (name: string, rows: number) => ({ schema: 'main', name, rows });

describe('is it the same application', () => {
  const verdict = (comparison: Partial<Comparison>) => {
    const whole = { live: [], dump: [], missingBytes: 0, liveBytes: 1000, ...comparison };
    try {
      requireSameApplication(whole);
      return 'accepted';
    } catch (error) {
      return (error as DropbackError).code;
    }
  };
  const live = [table('a', 5), table('b', 5)];

  test.each([
    [{ live, dump: [table('a', 1)], missingBytes: 100 }, 'accepted'],
    [{ live, dump: [table('a', 1)], missingBytes: 101 }, 'drop/not-same-application'],
    [{ live, dump: [table('a', 0), table('b', 0)] }, 'drop/schema-only'],
    [{ live, dump: [] }, 'drop/data-only'],
    [{ live: [], dump: [table('z', 1)], missingBytes: 0 }, 'accepted'],
    [{ live: [table('a', 0)], dump: [table('z', 0)], missingBytes: 900 }, 'accepted'],
  ] as const)('%j', (comparison, expected) => {
    expect(verdict(comparison)).toBe(expected);
  });
});

test('says of each table what changes', () => {
  const live = [table('same', 1), table('gone', 2), table('less', 3)];
  expect(differences(live, [table('same', 1), table('less', 1), table('new', 4)])).toEqual([
    'table gone disappears (2 rows)',
    'table new appears (4 rows)',
    'table less: 3 rows become 1',
  ]);
});

test('names of ours are exact', () => {
  const name = ourName('app.db', 's', '0123456789abcdef');
  expect(name).toBe('.app.db.dropback_s_0123456789abcdef');
  expect(isOurName(name, 'app.db', 's')).toBe(true);
  expect(isOurName(name, 'app.db', 'p')).toBe(false);
  expect(isOurName(name, 'other.db', 's')).toBe(false);
  expect(isOurName(`${name}-wal`, 'app.db', 's')).toBe(false);
  expect(isOurName(`${name}-wal`, 'app.db', 's', true)).toBe(true);
  expect(isOurName(`${name}0`, 'app.db', 's', true)).toBe(false);
  expect(isOurName('.app.db.dropback_s_0123456789ABCDEF', 'app.db', 's')).toBe(false);
});
