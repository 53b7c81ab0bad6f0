import { expect, test } from 'vitest';
import { distinct } from '../../../src/cli/commands/doctor.ts';
import type { CheckResult } from '../../../src/core/engines/engine.ts';

const failed = (id: string, message: string): CheckResult => ({ id, status: 'failed', message });

test('a wrong password is told once, whatever was asked of which database', () => {
  const refused = (database: string, user = 'app') =>
    `postgresql://${user}@db:5432/${database} refused the login: password authentication failed`;
  const results = [
    failed('postgres/reachable', refused('app')),
    failed('postgres/lock', refused('postgres')),
    failed('postgres/verify/reachable', refused('template1')),
    failed('postgres/reachable', refused('postgres', 'admin')),
    failed('local/writable', 'x'),
    failed('other/writable', 'x'),
  ];
  const told = [results[0], results[3], results[4], results[5]];
  expect(distinct(results)).toEqual(told);
});

test('what is well is told of each check, and of both daemons once', () => {
  const ok = (id: string): CheckResult => {
    return { id, status: 'ok', message: 'postgresql://app@db:5432/app answers' };
  };
  expect(distinct([ok('a'), ok('b'), ok('a')])).toEqual([ok('a'), ok('b')]);
});
