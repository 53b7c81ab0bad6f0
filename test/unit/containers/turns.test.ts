import { expect, it } from 'vitest';
import { ContainerTurns, takingTurns } from '../../../src/core/containers/turns.ts';

const never = new AbortController().signal;
const soon = () => new Promise<void>((resolve) => setImmediate(resolve));

function twoDatabases() {
  const turns = new ContainerTurns();
  const started: string[] = [];
  const of = (name: string) =>
    takingTurns(
      {
        start: async (names) => {
          started.push(`${name}: ${names.join()}`);
          return { containers: [], warnings: [] };
        },
      },
      turns,
    );
  return { shop: of('shop'), blog: of('blog'), started };
}

it('keeps one from stopping or starting what the other has stopped', async () => {
  const { shop, blog, started } = twoDatabases();
  await shop.turn.take(['web', 'worker'], never);
  const told: string[] = [];
  const waiting = blog.turn.take(['web'], never, () => told.push('waits'));
  const starting = blog.start(['worker'], { signal: never });
  await soon();
  expect(told).toEqual(['waits']);
  expect(started).toEqual([]);
  await shop.start(['web', 'worker'], { signal: never });
  shop.turn.release();
  await waiting;
  await starting;
  expect(started).toEqual(['shop: web,worker', 'blog: worker']);
});

it('lets those without a container in common go on side by side', async () => {
  const { shop, blog, started } = twoDatabases();
  await shop.turn.take(['web'], never);
  await blog.turn.take(['blog'], never);
  await blog.start(['blog'], { signal: never });
  expect(started).toEqual(['blog: blog']);
});

it('ends the waiting when asked to, and its own turn after a start that failed', async () => {
  const { shop, blog } = twoDatabases();
  await shop.turn.take(['web'], never);
  const giving = new AbortController();
  const waiting = blog.turn.take(['web'], giving.signal);
  giving.abort();
  await expect(waiting).rejects.toMatchObject({ code: 'run/aborted' });
  shop.turn.release();
  const failing = takingTurns(
    { start: () => Promise.reject(new Error('docker')) },
    new ContainerTurns(),
  );
  await expect(failing.start(['web'], { signal: never })).rejects.toThrow('docker');
  await expect(failing.start(['web'], { signal: never })).rejects.toThrow('docker');
});
