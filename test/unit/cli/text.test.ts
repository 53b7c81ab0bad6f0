import { expect, test } from 'vitest';
import { printStatus } from '../../../src/cli/commands/status.ts';
import { ProgressBar, progressLine } from '../../../src/cli/progress-bar.ts';
import { printRestoreStatus } from '../../../src/cli/status/of-restore.ts';
import { tableLines } from '../../../src/cli/table.ts';
import { printable, type Terminal } from '../../../src/cli/terminal.ts';
import { bytesText, countText, durationText } from '../../../src/cli/units.ts';

test.each([
  [0, '0 B'],
  [999, '999 B'],
  [1000, '1.00 kB'],
  [1_234_567, '1.23 MB'],
  [999_950, '1.00 MB'],
  [45_000_000_000, '45.0 GB'],
  [2e15, '2.00 PB'],
])('%i bytes are %s', (bytes, text) => expect(bytesText(bytes)).toBe(text));

test.each([
  [-5, '0 ms'],
  [0, '0 ms'],
  [420.4, '420 ms'],
  [999.4, '999 ms'],
  [999.6, '1 s'],
  [1449, '1.4 s'],
  [9949, '9.9 s'],
  [9950, '10 s'],
  [59_400, '59 s'],
  [61_000, '1 min 1 s'],
  [3_600_000, '1 h'],
  [3_601_000, '1 h'],
  [90_000_000, '1 d 1 h'],
])('%i ms are %s', (ms, text) => expect(durationText(ms)).toBe(text));

test('counts are grouped', () => {
  expect(countText(0)).toBe('0');
  expect(countText(1234567)).toBe('1 234 567');
});

test('a table lines up', () => {
  const lines = tableLines(
    [{ title: 'name' }, { title: 'size', right: true }],
    [
      ['a', '1'],
      ['longer', '100 000'],
    ],
  );
  expect(lines).toEqual(['name       size', 'a             1', 'longer  100 000']);
});

test('control characters of a file name never reach the terminal', () => {
  expect(printable('a\x1b[31mred\n\u009b2J')).toBe('a�[31mred��2J');
});

test('the bar fits the terminal, whatever the label', () => {
  for (const width of [0, 10, 40, 200]) {
    for (const fraction of [undefined, -1, 0, 0.5, 1, 7]) {
      const line = progressLine('loading the dump into staging '.repeat(4), fraction, width);
      expect(line.length).toBeLessThanOrEqual(Math.max(20, width - 1));
    }
  }
  expect(progressLine('swap', 0.5, 80)).toContain(' 50%');
});

test('each line of a status is a title and, apart from it, a text', () => {
  const lines: string[] = [];
  const terminal: Terminal = {
    out: (line) => lines.push(line),
    err: () => {},
    draw: () => {},
    interactive: false,
    width: 80,
  };
  const at = '2026-11-22T19:15:00.000Z';
  const error = { code: 'database/away', message: 'no answer', hint: '' };
  printStatus(
    {
      name: 'app',
      database: 'sqlite:////data/app.db',
      health: 'degraded',
      problems: [],
      daemon: 'running',
      verified: {},
      lastFailure: { at, error },
      nextRunAt: at,
      nextRehearsalAt: at,
      sizes: [{ id: 'app_20261122T191500Z', bytes: 1 }],
      uploads: { waiting: 1, oldest: 'app_20261122T191500Z' },
      retention: [],
    },
    terminal,
    new Date(at),
  );
  expect(lines).toHaveLength(8);
  for (const line of lines.slice(1)) expect(line).toMatch(/^ {2}[a-z ]{13} \S/);
  lines.length = 0;
  const noted = {
    name: 'app',
    database: '',
    health: 'healthy',
    problems: [],
    verified: {},
    sizes: [],
  } as const;
  printStatus(
    { ...noted, daemon: 'not asked', nextRunAt: at, retention: [] },
    terminal,
    new Date(0),
  );
  expect(lines.join()).toMatch(/next run +in .*as db-backup has noted \(HEALTH_PORT=0\)/);
});

test("db-restore's status: what stands in the way first, then a line each", () => {
  const lines: string[] = [];
  const terminal: Terminal = {
    out: (line) => lines.push(line),
    err: () => {},
    draw: () => {},
    interactive: false,
    width: 80,
  };
  const at = '2026-11-22T19:15:00.000Z';
  const kept = {
    id: '0123456789abcdef',
    engine: 'sqlite',
    name: '/data/.dropback-p',
    identity: '1',
    replacedAt: at,
    bytes: 1200,
    keptUntil: '2026-11-23T18:15:00.000Z',
    replacedBy: 'a.db',
  } as const;
  printRestoreStatus(
    {
      name: 'app',
      database: 'sqlite:////data/app.db',
      health: 'unhealthy',
      daemon: 'running',
      dropFolder: '/restore/incoming',
      undo: 'dropback undo',
      state: 'idle',
      updatedAt: at,
      queue: [{ name: 'b\x1b[2J.sql', waitsFor: 'it ends too early' }, { name: 'c.sql' }],
      queued: 9,
      last: {
        format: 'dropback-report',
        version: 1,
        id: 'x',
        kind: 'restore',
        outcome: 'restored',
        source: 'a.db',
        target: 'sqlite:////data/app.db',
        startedAt: at,
        finishedAt: at,
        durationMs: 900,
        attempts: 1,
        steps: [],
        downtimeMs: 349,
        warnings: [],
      },
      previous: [{ ...kept, ofAnother: true }, kept],
      problems: [{ id: 'containers/unknown', message: 'there is no web', hint: 'one\ntwo' }],
    },
    terminal,
    new Date('2026-11-22T19:18:00.000Z'),
  );
  expect(lines).toEqual([
    'app  sqlite:////data/app.db  unhealthy',
    '  ! there is no web',
    '    → one',
    '    → two',
    '  state         waits for drops',
    '  drop folder   /restore/incoming: b�[2J.sql (it ends too early), c.sql and 7 more wait',
    '  last          restored a.db, 3 min ago, application stopped for 349 ms',
    '  kept          the database that a.db replaced, 1.20 kB, for 22 h 57 min more: `dropback undo`',
  ]);
});

test('without a terminal each step is one line', () => {
  const lines: string[] = [];
  const terminal: Terminal = {
    out: () => {},
    err: (line) => lines.push(line),
    draw: () => lines.push('drawn'),
    interactive: false,
    width: 80,
  };
  const bar = new ProgressBar(terminal);
  bar.update('stage', 0.1);
  bar.update('stage', 0.7);
  bar.update('swap', undefined);
  bar.clear();
  expect(lines).toEqual(['stage', 'swap']);
});
