import { expect, test } from 'vitest';
import { silentLogger } from '../../../src/core/observability/log.ts';
import { S3Store } from '../../../src/core/stores/s3/store.ts';
import { S3Crowd } from '../../support/s3-crowd.ts';

const { signal } = new AbortController();

async function asked(counts: { own: number; before: number; behind: number }) {
  await using crowd = await S3Crowd.start(counts);
  await using store = new S3Store(crowd.config, 'app', { log: silentLogger() });
  const listing = await store.list(signal);
  const ofList = crowd.asked.splice(0);
  const ids = await store.ids(signal);
  const ofIds = crowd.asked.splice(0);
  await store.sweep(signal);
  return { listing, ids, ofList, ofIds, ofSweep: [...crowd.asked] };
}

const lists = (requests: readonly string[]) =>
  requests.filter((request) => request.startsWith('list'));

test('what others keep in its folder costs a database next to nothing, however much it is', async () => {
  // A million before, a million behind: as many keys as no test could make.
  const counts = { own: 30, before: 1_000_000, behind: 1_000_000 };
  const { listing, ids, ofList, ofIds, ofSweep } = await asked(counts);
  expect(listing.backups.map(({ id }) => id)).toEqual([...ids]);
  expect(ids.size).toBe(30);
  expect(listing.strays).toHaveLength(1001);
  expect(listing.strays.at(-1)).toEqual({ name: '…', reason: 'and perhaps more' });
  expect(lists(ofList)).toEqual(['list prefix/app/', 'list prefix/app/app_']);
  expect(ofIds).toEqual(['list prefix/app/app_']);
  expect(ofSweep).toEqual(['list prefix/app/app_']);
});

test('a few strangers are named; of hundreds of own backups each manifest is read once, in order', async () => {
  const { listing, ofList } = await asked({ own: 500, before: 2, behind: 3 });
  expect(listing.strays).toHaveLength(5);
  expect(listing.backups.map(({ createdAt }) => createdAt)).toEqual(
    Array.from({ length: 500 }, (_, i) => S3Crowd.manifest(i).createdAt),
  );
  expect(lists(ofList)).toHaveLength(2);
  expect(new Set(ofList).size).toBe(501);
});
