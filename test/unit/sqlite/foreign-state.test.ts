import { expect, test } from 'vitest';
import { parseState } from '../../../src/core/engines/sqlite/restore/state.ts';

test('a journal that PostgreSQL has written is refused by name, not as a bug', () => {
  expect(() => parseState({ engine: 'postgres', id: '0123456789abcdef' })).toThrow(
    expect.objectContaining({ code: 'restore/foreign-state' }),
  );
});
