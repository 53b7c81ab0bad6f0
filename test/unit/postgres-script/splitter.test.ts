import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ScriptEvent } from '../../../src/core/engines/postgres/script/events.ts';
import { ScriptSplitter } from '../../../src/core/engines/postgres/script/splitter.ts';
import { outline, split, statements } from './pieces.ts';

/** Scripts of statements that each line shows as one; joined by a newline. */
const ONE_EACH: Record<string, string[]> = {
  plain: ['SELECT 1;', 'SELECT 2;'],
  'semicolon in a string': ["SELECT 'a;b';", 'SELECT 2;'],
  'doubled quote': ["SELECT 'it''s; fine';", 'SELECT 2;'],
  'backslash in a standard string': ["SELECT 'a\\';", 'SELECT 2;'],
  'escaped quote in E': ["SELECT E'a\\';b';", 'SELECT 2;'],
  'escaped backslash in E': ["SELECT E'a\\\\';", 'SELECT 2;'],
  'doubled quote in E': ["SELECT e'a'';b\\';';", 'SELECT 2;'],
  'a word that ends in e': ["SELECT fooe'a\\';", 'SELECT 2;'],
  'number then e': ["SELECT 1e'a\\';", 'SELECT 2;'],
  'U& string': ["SELECT U&'\\0041;';", 'SELECT u&"a;b";', 'SELECT 2;'],
  'u and an operator': ["SELECT u & 'a';", 'SELECT u&1;'],
  'bit strings': ["SELECT b'01', X'1F;';", 'SELECT 2;'],
  'national string': ["SELECT n'a\\';", 'SELECT 2;'],
  'quoted identifier': ['SELECT "a;""b\'";', 'SELECT 2;'],
  'empty dollar quote': ['SELECT $$a;b\'"$$;', 'SELECT 2;'],
  'tagged dollar quote': ['SELECT $x$a;$$;$y$;$x$;', 'SELECT 2;'],
  'dollar quote that begins late': ['SELECT $d$ $junk$d$;', 'SELECT 2;'],
  'non-ASCII tag': ['SELECT $é$;$é$;', 'SELECT 2;'],
  'dollar in an identifier': ['SELECT a$b$c;', 'SELECT d$$;', 'SELECT 3;'],
  'parameter then dollar': ['SELECT $1;', 'SELECT $2$$;$$;', 'SELECT 3;'],
  'dollar alone': ['SELECT $ ;', 'SELECT 2;'],
  'line comment within': ['SELECT 1 -- it\'s; a "comment\n;', 'SELECT 2;'],
  'comment behind an operator': ["SELECT 1 +-- it's; \n1;", "SELECT 1 */* it's; */2;"],
  'nested comment within': ["SELECT /* a; /* it's; */ ; */ 1;", 'SELECT 2;'],
  'comment of stars': ["SELECT /***;'***/ 1;", "SELECT /*/;'*/1;", 'SELECT 2;'],
  'slash and star apart': ['SELECT 1 / 2 * 3;', 'SELECT 2;'],
  parentheses: ['CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);', 'SELECT 3;'],
  'closing without opening': ['SELECT 1);', 'SELECT 2;'],
  'begin atomic': [
    'CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END;',
    'SELECT 3;',
  ],
  'begin atomic with case': [
    'CREATE OR REPLACE PROCEDURE p(x int DEFAULT 1)\nBEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;',
    'SELECT 3;',
  ],
  'atomic within parentheses': [
    'create function f(case_ int) begin atomic select (case when 1=1 then 2 end); end;',
    'SELECT 3;',
  ],
  'begin elsewhere': ['CREATE TABLE begin (case int, "end" int);', 'SELECT begin FROM begin;'],
  'function in a body': ["CREATE FUNCTION f() AS 'begin; end;' LANGUAGE plpgsql;", 'SELECT 1;'],
  'casts and slices': ["SELECT '1'::int, a[1:2], a[:n], x := 1;", 'SELECT 2;'],
  'strings over lines': ["SELECT 'a\n\\! ls\n\\.\n;';", 'SELECT 2;'],
  'plain string continued': ["SELECT 'a'\n'b;';", 'SELECT 2;'],
  'empty statement': [';', ';', 'SELECT 1;'],
  'form feed and tab': ['SELECT\f1\t;', 'SELECT 2;'],
};

describe('statements end where psql ends them', () => {
  for (const [name, wanted] of Object.entries(ONE_EACH)) {
    it.each([Number.POSITIVE_INFINITY, 1, 2, 3, 5])(`${name}, in chunks of %s`, (chunk) => {
      expect(statements(`${wanted.join('\n')}\n`, chunk)).toEqual(wanted);
    });
  }

  it('knows standard_conforming_strings = off, from the next line on', () => {
    const script =
      "SET standard_conforming_strings = off;\nSELECT 'a\\';b';\nSET standard_conforming_strings TO 'on';\nSELECT 'c\\';\nSELECT 3;\n";
    for (const chunk of [1000, 1]) {
      expect(statements(script, chunk).slice(1)).toEqual([
        "SELECT 'a\\';b';",
        "SET standard_conforming_strings TO 'on';",
        "SELECT 'c\\';",
        'SELECT 3;',
      ]);
    }
  });

  it('takes CRLF and lone carriage returns for line ends of comments', () => {
    expect(outline('-- a\r\nSELECT 1;\r\n-- b\rSELECT 2;\r\n')).toEqual([
      'comment: -- a',
      'statement: SELECT 1;',
      'comment: -- b',
      'statement: SELECT 2;',
    ]);
  });

  it('passes over a UTF-8 byte order mark', () => {
    for (const chunk of [1000, 1, 2]) {
      expect(statements('\ufeffSELECT 1;\n', chunk)).toEqual(['SELECT 1;']);
    }
  });

  it('counts the groups of an INSERT at the outermost level', () => {
    const [event] = split("INSERT INTO t (a, b) VALUES (1, (2)), (f(')'), '('), (3, 4);\n");
    expect(event).toMatchObject({ kind: 'statement', groups: 4 });
  });

  it('finds the colons that psql would take for variables, and no others', () => {
    const script =
      "SELECT :USER, :'x', :\"y\", :{?z}, a[1:n], b::int, c := 1, ':no', d[1: 2], : ;\n";
    for (const chunk of [1000, 1, 3]) {
      const event = split(script, chunk).find(({ kind }) => kind === 'statement');
      const text = event?.bytes.toString() ?? '';
      const found = event?.kind === 'statement' ? event.colons : [];
      expect(found.map((at) => text.slice(at, at + 3))).toEqual([
        ':US',
        ":'x",
        ':"y',
        ':{?',
        ':n]',
      ]);
    }
  });

  it('gives line and offset of each event', () => {
    const events = split("-- a\nSELECT '\n\n';\nCOPY t FROM stdin;\n1\n2\n\\.\nSELECT 2;\n", 4);
    const at = (kind: string) => events.filter((e) => e.kind === kind).map((e) => e.line);
    expect(at('statement')).toEqual([2, 9]);
    expect(at('copy')).toEqual([5]);
    expect(at('copy-end')).toEqual([8]);
    expect(at('comment')).toEqual([1]);
  });
});

describe('COPY blocks', () => {
  const HEADS = [
    'COPY t FROM stdin;',
    'COPY public.t (a, "b;(") FROM stdin;',
    'copy public.t from STDIN with (format text);',
    "COPY t FROM STDIN WITH DELIMITER ',';",
    'COPY "From"."stdin" FROM /* x */ stdin -- y\n;',
  ];
  const DATA = [
    '1\tit\'s; "x\n',
    '\\N\t\\\\.\n',
    ' \\.\n',
    '\\.x\n',
    '\\restrict a\n',
    '-- c\n',
    '\n',
  ];

  it.each(HEADS)('%s', (head) => {
    for (const chunk of [Number.POSITIVE_INFINITY, 1, 2, 3, 4, 7]) {
      const script = `${head}\n${DATA.join('')}\\.\nSELECT 1;\n`;
      const events = split(script, chunk);
      const data = events.filter((event) => event.kind === 'copy-data');
      expect(Buffer.concat(data.map((event) => event.bytes)).toString()).toBe(DATA.join(''));
      const lines = data.reduce(
        (sum, event) => sum + (event.kind === 'copy-data' ? event.lines : 0),
        0,
      );
      expect(lines).toBe(DATA.length);
      expect(events.filter((event) => event.kind === 'copy-end')).toHaveLength(1);
      expect(statements(script, chunk).at(-1)).toBe('SELECT 1;');
    }
  });

  it('may be empty, and end in CRLF', () => {
    expect(outline('COPY t FROM stdin;\r\n\\.\r\nSELECT 1;\r\n', 1)).toEqual([
      'copy: COPY t FROM stdin;',
      'copy-end: \\.\r\n',
      'statement: SELECT 1;',
    ]);
  });

  it.each([
    'COPY t TO STDOUT;',
    "COPY t FROM '/etc/passwd';",
    "COPY t FROM PROGRAM 'id';",
    'COPY (SELECT 1) TO STDOUT;',
    'COPYRIGHT;',
  ])('%s opens none', (statement) => {
    expect(outline(`${statement}\nSELECT 1;\n`)).toEqual([
      `statement: ${statement}`,
      'statement: SELECT 1;',
    ]);
  });

  it('names schema and table, unquoted', () => {
    const header = (head: string) =>
      split(`${head}\n\\.\n`).flatMap((event) => (event.kind === 'copy' ? [event.header] : []))[0];
    expect(header('COPY "Sché""ma"."a.b" (c) FROM stdin;')).toMatchObject({
      schema: 'Sché"ma',
      table: 'a.b',
      lineIsRow: true,
    });
    expect(header('COPY t FROM stdin WITH (FORMAT csv);')).toMatchObject({
      schema: undefined,
      lineIsRow: false,
    });
  });
});

describe('refusals', () => {
  const refused = (script: string | Buffer, chunk?: number) => {
    try {
      split(script, chunk);
    } catch (error) {
      return error as { code: string; message: string; facts: Record<string, unknown> };
    }
    throw new Error('was not refused');
  };

  it.each([
    ['SELECT 1 \\g |cmd\n;', 'drop/meta-command'],
    ['SELECT 1\\; SELECT 2;\n', 'drop/meta-command'],
    ['SELECT a \\: b;\n', 'drop/meta-command'],
    ['SELECT (1 \\! ls\n);', 'drop/meta-command'],
    ["SELECT E'a'\n'b\\';\n", 'drop/unsupported-syntax'],
    ["SELECT E'a' -- c\n  -- d\n'b';\n", 'drop/unsupported-syntax'],
    ['CREATE FUNCTION public.begin() RETURNS int AS $$ $$;\n', 'drop/unsupported-syntax'],
    ['COPY t FROM stdin; SELECT 1;\n1\n\\.\n', 'drop/unsupported-syntax'],
    ['COPY t FROM stdin (FORMAT binary);\n', 'drop/unsupported-syntax'],
    ['COPY BINARY t FROM stdin;\n', 'drop/unsupported-syntax'],
    ["SET standard_conforming_strings = off; SELECT 'a\\';\n", 'drop/unsupported-syntax'],
    ["SET client_encoding = 'SJIS';\n", 'drop/unsupported-encoding'],
    ["SET NAMES 'gb18030';\n", 'drop/unsupported-encoding'],
    ['SELECT 1;\0\n', 'drop/not-text'],
    ['SELECT 1', 'drop/truncated'],
    ["SELECT 'abc", 'drop/truncated'],
    ["SELECT 'abc';\nSELECT 'a''", 'drop/truncated'],
    ['SELECT "a', 'drop/truncated'],
    ['SELECT $x$ abc $x', 'drop/truncated'],
    ['SELECT (1;\n', 'drop/truncated'],
    ['/* never closed', 'drop/truncated'],
    ['CREATE FUNCTION f() BEGIN ATOMIC SELECT 1;\n', 'drop/truncated'],
    ['COPY t FROM stdin;', 'drop/truncated'],
    ['COPY t FROM stdin;\n', 'drop/truncated'],
    ['COPY t FROM stdin;\n1\n2', 'drop/truncated'],
    ['COPY t FROM stdin;\n1\n\\', 'drop/truncated'],
    ['COPY t FROM stdin;\n1\n\\.', 'drop/truncated'],
  ])('%j', (script, code) => {
    for (const chunk of [undefined, 1, 2]) expect(refused(script, chunk).code).toBe(code);
  });

  it('says where a truncated script ends', () => {
    expect(refused('SELECT 1;\nCOPY public.t FROM stdin;\n1\n').message).toContain(
      'within the data of table public.t',
    );
    expect(refused("SELECT 1;\nSELECT 'a\n").message).toContain(
      'within a quoted string in the statement that begins on line 2',
    );
  });

  it('names the line of a command of psql', () => {
    const error = refused('SELECT 1;\nSELECT\n 2 \\gexec\n');
    expect(error.facts).toMatchObject({ line: 3 });
    expect(error.message).toContain('\\gexec');
  });

  it('holds no statement beyond its limit but INSERTs, which come in parts', () => {
    const rows = Array.from({ length: 100 }, (_, i) => `(${i}, 'row;${i}')`).join(',\n');
    const script = `INSERT INTO t VALUES ${rows};\nSELECT 1;\n`;
    const events = split(script, 10, 200);
    const parts = events.filter((event) => event.kind === 'part');
    expect(parts.length).toBeGreaterThan(3);
    expect(parts[0]).toMatchObject({ first: true, last: false });
    expect(parts.at(-1)).toMatchObject({ first: false, last: true, groups: 100 });
    expect(Buffer.concat(events.map((event) => event.bytes)).toString()).toBe(script);
    try {
      split(`SELECT '${'x'.repeat(500)}';\n`, 10, 200);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code: 'drop/statement-too-long' });
    }
  });
});

const piece = fc.constantFrom(
  ...Object.values(ONE_EACH)
    .flat()
    .map((statement) => `${statement}\n`),
  '-- a comment; it\'s "one"\n',
  '/* block /* nested */ ; */\n',
  '\n\n',
  '\r\n',
  '\\restrict abc\n',
  '\\connect "x y"\n',
  'COPY t FROM stdin;\n1\ta\\\n\\\\.\n\\.\n',
  'COPY "a b".c (d) FROM stdin;\n\\.\n',
  "SET standard_conforming_strings = off;\nSELECT 'a\\'';\nSET standard_conforming_strings = on;\n",
  'INSERT INTO t VALUES (1), (2);\n',
  "SELECT a[1:n], :'x';\n",
  'SELECT 1; SELECT 2;\n',
);

describe('any division into chunks', () => {
  it('gives the same events, and their bytes are the input', () => {
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 50 }),
        (pieces, sizes) => {
          const script = Buffer.from(pieces.join(''));
          const splitter = new ScriptSplitter();
          const events: ScriptEvent[] = [];
          for (let at = 0, turn = 0; at < script.length; turn++) {
            const size = sizes[turn % sizes.length] as number;
            events.push(...splitter.push(Buffer.from(script.subarray(at, at + size))));
            at += size;
          }
          events.push(...splitter.end());
          expect(Buffer.concat(events.map((event) => event.bytes)).equals(script)).toBe(true);
          let offset = 0;
          for (const event of events) {
            expect(event.offset).toBe(offset);
            offset += event.bytes.length;
          }
          const text = (all: typeof events) =>
            all
              .filter((e) => e.kind === 'statement' || e.kind === 'copy')
              .map((e) => `${e.line} ${e.bytes}`);
          expect(text(events)).toEqual(text(split(script)));
        },
      ),
      { numRuns: 300 },
    );
  });

  it('holds for arbitrary text: the same verdict, the same bytes', () => {
    const noise = fc.array(
      fc.constantFrom(
        "'",
        '"',
        '$',
        '$$',
        '$a$',
        'E',
        'b',
        ';',
        '(',
        ')',
        '-',
        '/',
        '*',
        ':',
        '\n',
        ' ',
        'x',
        '1',
        '\\',
      ),
      { maxLength: 40 },
    );
    const verdict = (script: string, chunk?: number) => {
      try {
        return split(script, chunk)
          .filter((event) => event.kind === 'statement')
          .map((event) => `${event.offset} ${event.bytes}`);
      } catch (error) {
        return (error as { code: string }).code;
      }
    };
    fc.assert(
      fc.property(noise, fc.integer({ min: 1, max: 5 }), (tokens, chunk) => {
        const script = tokens.join('');
        expect(verdict(script, chunk)).toEqual(verdict(script));
      }),
      { numRuns: 2000 },
    );
  });
});
