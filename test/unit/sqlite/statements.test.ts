import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bare, StatementSplitter } from '../../../src/core/engines/sqlite/tool/statements.ts';

function split(text: string, size = 1 << 20): string[] {
  const splitter = new StatementSplitter();
  const bytes = Buffer.from(text);
  const statements: string[] = [];
  for (let start = 0; start < bytes.length; start += size) {
    statements.push(...splitter.push(bytes.subarray(start, start + size)));
  }
  const rest = splitter.end();
  return rest === '' ? statements : [...statements, rest];
}

describe('cutting SQL into statements', () => {
  test.each([
    ['SELECT 1;SELECT 2;', 2],
    [`SELECT ';', 'it''s;', ";", \`;\`, [;];SELECT 2;`, 2],
    ['SELECT 1 -- ; not here\n;SELECT 2;', 2],
    ['SELECT 1 /* ; */ + /*/ ; */ 2;/**/;', 2],
    ['SELECT 5 - 1, 6 / 2 * 3;SELECT 1;', 2],
    ["SELECT '--;', '/*;';SELECT '*/';", 2],
    ['CREATE TABLE t(trigger);SELECT 1;', 2],
    ['CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; SELECT 2; END;SELECT 3;', 2],
    ['create temp trigger t after insert on a begin select 1; end;SELECT 3;', 2],
    ['CREATE TEMPORARY TRIGGER t BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; END;SELECT 3;', 2],
    ['CREATE TRIGGER t BEGIN SELECT 1; /* END; */ -- END;\n END ; SELECT 3;', 2],
    [`CREATE TRIGGER t BEGIN SELECT ';END;'; END;SELECT 3;`, 2],
    ['/* first */ CREATE /* x */ TRIGGER t BEGIN SELECT 1; ENDED; END;SELECT 3;', 2],
    ['SELECT "ü", \'ß;\';SELECT 2;', 2],
  ])('%s', (text, count) => {
    const statements = split(text);
    expect(statements.length).toBe(count);
    expect(statements.join('')).toBe(text);
  });

  test('the same however the bytes arrive', () => {
    const piece = fc.constantFrom(
      ...["'", '"', '`', '[', ']', ';', '--', '\n', '/*', '*/', ' '],
      ...['CREATE', 'TRIGGER', 'TEMP', 'END', 'x', 'é', '-', '/', '*', '1'],
    );
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 60 }),
        fc.integer({ min: 1, max: 7 }),
        (parts, n) => {
          const text = parts.join('');
          expect(split(text, n)).toEqual(split(text));
          expect(split(text, n).join('')).toBe(text);
        },
      ),
    );
  });

  test('bytes that are no UTF-8 are an error, not a question mark', () => {
    const splitter = new StatementSplitter();
    expect(() => splitter.push(Buffer.from([0x27, 0xe9, 0x27, 0x3b]))).toThrow(TypeError);
  });
});

test('a bare statement has no comments, blanks or semicolon', () => {
  expect(bare('\n-- hello\n COMMIT /* x */ ;')).toBe('COMMIT');
  expect(bare('PRAGMA  foreign_keys=OFF;')).toBe('PRAGMA foreign_keys=OFF');
});
