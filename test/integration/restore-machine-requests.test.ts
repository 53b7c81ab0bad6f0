import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import type { Manifest } from '../../src/core/archive/manifest.ts';
import { type Ask, RequestClient } from '../../src/core/requests/client.ts';
import { readDaemonStatus } from '../../src/core/requests/daemon-status.ts';
import type { RequestResult, RequestStatus } from '../../src/core/requests/protocol.ts';
import { systemClock } from '../../src/core/runtime/clock.ts';
import { script, World, type WorldOptions } from '../support/restore/world.ts';

let world: World;
afterEach(() => world?.remove());
const signal = new AbortController().signal;

async function started(options: WorldOptions = {}): Promise<RequestClient> {
  world = await World.create(options);
  world.start();
  await world.until(() => world.daemon.status().state === 'idle');
  return new RequestClient(world.path('requests'), systemClock);
}

async function ask(client: RequestClient, request: Ask): Promise<RequestResult> {
  const id = await client.submit(request, signal);
  return client.follow(id, { signal, takenWithinMs: 10_000 });
}

async function fileOf(name: string, content: string): Promise<string> {
  const path = join(world.root, name);
  await writeFile(path, content);
  return path;
}

test('a request to a daemon that is about to begin waits for it', async () => {
  world = await World.create();
  const client = new RequestClient(world.path('requests'), systemClock);
  const asking = ask(client, { kind: 'restore', file: await fileOf('app.sql', script('fresh')) });
  world.start();
  expect(await asking).toMatchObject({ exitCode: 0, report: { outcome: 'restored' } });
});

test('where no drop folder is, there is no daemon to wait for', async () => {
  world = await World.create();
  const client = new RequestClient(join(world.root, 'nowhere', 'requests'), systemClock);
  const asking = client.submit({ kind: 'undo' }, AbortSignal.timeout(5000));
  await expect(asking).rejects.toMatchObject({ code: 'request/no-daemon' });
});

test('a backup that is asked for twice at once is restored once: what it replaced stays', async () => {
  const manifest = { id: 'app_20260101T000000Z', archive: { file: 'app_20260101T000000Z.sql' } };
  const manifests = new Map([['x', manifest as Manifest]]);
  const client = await started();
  await world.stop();
  const twice = [{}, {}].map(() => client.submit({ kind: 'restore', backupId: 'latest' }, signal));
  const ids = await Promise.all(twice);
  world = new World(world.root, { manifests }).start();
  const follow = (id: string) => client.follow(id, { signal, takenWithinMs: 60_000 });
  const results = await Promise.all(ids.map(follow));
  expect(results.map(({ exitCode }) => exitCode).sort()).toEqual([0, 3]);
  expect(results.flatMap(({ error }) => error?.code ?? [])).toEqual(['request/already-restored']);
  expect(await world.liveText()).toBe(script('from_backup'));
  expect(await ask(client, { kind: 'undo' })).toMatchObject({ exitCode: 0 });
  expect(await world.liveText()).toBe(script('old'));
  expect(await ask(client, { kind: 'restore', backupId: 'latest' })).toMatchObject({ exitCode: 0 });
});

test('restore, undo, undo again, drop-previous', async () => {
  const client = await started();
  const file = await fileOf('app.sql', script('fresh'));
  const seen: RequestStatus[] = [];
  const id = await client.submit({ kind: 'restore', file }, signal);
  const onStatus = (status: RequestStatus) => seen.push(status);
  const restored = await client.follow(id, { signal, takenWithinMs: 10_000, onStatus });
  expect(restored).toMatchObject({
    exitCode: 0,
    report: { outcome: 'restored', source: 'app.sql' },
  });
  expect(seen[0]?.state).toMatch(/queued|running/);
  expect(seen.at(-1)?.state).toBe('done');
  expect(await world.liveText()).toBe(script('fresh'));
  // Told first, tidied up after it.
  const left = async () => (await readdir(world.path('requests'))).join();
  await world.until(async () => (await left()) === `${id}.status.json,daemon.json`);

  expect(await ask(client, { kind: 'undo' })).toMatchObject({
    exitCode: 0,
    report: { outcome: 'undone' },
  });
  expect(await world.liveText()).toBe(script('old'));
  const status = await readDaemonStatus(world.path('requests'));
  expect(status?.previous).toHaveLength(1);

  expect(await ask(client, { kind: 'undo' })).toMatchObject({ exitCode: 0 });
  expect(await world.liveText()).toBe(script('fresh'));
  expect(await ask(client, { kind: 'drop-previous' })).toMatchObject({ exitCode: 0 });
  expect(await readdir(join(world.root, 'data'))).toEqual(['app.db']);
  expect(await ask(client, { kind: 'undo' })).toMatchObject({
    exitCode: 3,
    error: { code: 'request/no-previous' },
  });
  expect(world.runtime.get('web')).toBe('running');
});

test('check, and into a side database', async () => {
  const client = await started();
  const file = await fileOf('app.sql', script('fresh'));
  expect(await ask(client, { kind: 'check', file })).toMatchObject({ exitCode: 0 });
  expect(await ask(client, { kind: 'restore', file, into: 'side.db' })).toMatchObject({
    exitCode: 0,
    report: { target: 'side.db' },
  });
  expect(await world.liveText()).toBe(script('old'));
  expect(await readFile(join(world.root, 'data', 'side.db'), 'utf8')).toBe(script('fresh'));
});

test('a backup by its id', async () => {
  const manifest = { id: 'app_20260101T000000Z', archive: { file: 'app_20260101T000000Z.sql' } };
  const manifests = new Map([['x', manifest as Manifest]]);
  const client = await started({ manifests });
  expect(await ask(client, { kind: 'restore', backupId: 'latest' })).toMatchObject({
    exitCode: 0,
    report: { backupId: manifest.id, source: manifest.archive.file },
  });
  expect(await world.liveText()).toBe(script('from_backup'));
  expect(await ask(client, { kind: 'restore', backupId: 'none' })).toMatchObject({ exitCode: 3 });
});

test('a bad file is refused with exit code 3', async () => {
  const client = await started();
  const file = await fileOf('app.sql', 'not a dump');
  expect(await ask(client, { kind: 'restore', file })).toMatchObject({
    exitCode: 3,
    report: { outcome: 'refused', error: { code: 'drop/unknown-content' } },
  });
});

test('what is no request is answered so, what is too old has expired', async () => {
  world = await World.create();
  await mkdir(world.path('requests'));
  await writeFile(world.path('requests', '0123456789abcdef.json'), '{"kind":"rm -rf"}');
  const old = {
    format: 'dropback-request',
    version: 1,
    id: 'aaaaaaaaaaaaaaaa',
    createdAt: '2026-01-01T00:00:00.000Z',
    kind: 'undo',
  };
  await writeFile(world.path('requests', 'aaaaaaaaaaaaaaaa.json'), JSON.stringify(old));
  world.start();
  const client = new RequestClient(world.path('requests'), systemClock);
  const follow = (id: string) => client.follow(id, { signal, takenWithinMs: 10_000 });
  expect(await follow('0123456789abcdef')).toMatchObject({
    exitCode: 3,
    error: { code: 'request/unreadable' },
  });
  expect(await follow('aaaaaaaaaaaaaaaa')).toMatchObject({
    exitCode: 75,
    error: { code: 'request/expired' },
  });
});

test('a request that the daemon was working on is answered by the next one', async () => {
  const reached = Promise.withResolvers<void>();
  const hold = Promise.withResolvers<void>();
  const client = await started({
    engineFault: async (call) => {
      if (call !== 'check') return;
      reached.resolve();
      await hold.promise;
    },
  });
  const file = await fileOf('app.sql', script('fresh'));
  const id = await client.submit({ kind: 'restore', file }, signal);
  await reached.promise;
  const ending = world.stop();
  hold.resolve();
  await ending;
  world = new World(world.root).start();
  expect(await client.follow(id, { signal, takenWithinMs: 10_000 })).toMatchObject({ exitCode: 0 });
  expect(await world.liveText()).toBe(script('fresh'));
});

test('without a daemon a request is withdrawn again', async () => {
  world = await World.create();
  await mkdir(world.path('requests'));
  const client = new RequestClient(world.path('requests'), systemClock);
  const id = await client.submit({ kind: 'undo' }, signal);
  await expect(client.follow(id, { signal, takenWithinMs: 300 })).rejects.toMatchObject({
    code: 'request/not-taken',
  });
  expect(await readdir(world.path('requests'))).toEqual([]);
});

test('while restores are off, whoever asks is told so at once, and by what', async () => {
  world = await World.create();
  await mkdir(world.path('requests'), { recursive: true });
  // One that a dead daemon had taken, and one that waits; the journal tells of neither.
  const taken = 'bbbbbbbbbbbbbbbb';
  await writeFile(world.path('requests', `${taken}.taken.json`), '{}');
  await writeFile(world.path('state.json'), 'torn');
  await writeFile(world.path('state.json.1'), '');
  const client = new RequestClient(world.path('requests'), systemClock);
  const waiting = await client.submit({ kind: 'undo' }, signal);
  world.start();
  for (const id of [taken, waiting]) {
    expect(await client.follow(id, { signal, takenWithinMs: 60_000 })).toMatchObject({
      exitCode: 75,
      error: { code: 'journal/unusable', hint: expect.stringContaining('move the state file') },
    });
  }
  expect(world.daemon.status().state).toMatch(/blocked|recovering/);
});
