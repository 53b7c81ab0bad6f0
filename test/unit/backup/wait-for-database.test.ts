import { expect, test } from 'vitest';
import { waitForDatabase } from '../../../src/backup/wait-for-database.ts';
import type { Engine } from '../../../src/core/engines/engine.ts';
import { silentLogger } from '../../../src/core/observability/log.ts';
import { systemClock } from '../../../src/core/runtime/clock.ts';
import { DropbackError } from '../../../src/core/runtime/errors.ts';

const engine = {
  kind: 'sqlite',
  description: 'sqlite:////data/app.db',
  probe: async () => ({ exists: false }),
} as unknown as Engine;

test('one backup, at once, does not claim to wait for a database that is not there', async () => {
  let slept = 0;
  const sleep = async (ms: number) => {
    slept += ms;
  };
  const clock = { ...systemClock, sleep };
  const options = { engine, clock, log: silentLogger(), attempts: 5 };
  const waiting = waitForDatabase(options, new AbortController().signal);
  const error = await waiting.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(DropbackError);
  expect(error).toMatchObject({
    code: 'database/missing',
    message: 'sqlite:////data/app.db does not exist yet',
    hint: 'create it, or correct DATABASE_URL; mount its volume here too.',
  });
  expect(slept).toBeGreaterThan(7000);
});
