import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { prune } from '../../src/backup/prune.ts';
import { Verifier } from '../../src/backup/verify/verifier.ts';
import type { Manifest } from '../../src/core/archive/manifest.ts';
import { type Verification, withVerification } from '../../src/core/archive/state-file.ts';
import { parseBackupConfig } from '../../src/core/config/backup.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { type Clock, systemClock } from '../../src/core/runtime/clock.ts';
import { Catalogue } from '../../src/core/stores/catalogue.ts';
import { LocalStore } from '../../src/core/stores/local/store.ts';
import type { Store } from '../../src/core/stores/store.ts';
import { asRemote, sampleBackup } from '../support/backups.ts';

const never = new AbortController().signal;
const now = new Date('2026-11-22T20:00:00Z');
const clock: Clock = { ...systemClock, now: () => now };
const log = silentLogger();

function keep(which: 'BACKUP' | 'S3', last: number, daily: number): Record<string, string> {
  const numbers = { LAST: last, DAILY: daily, WEEKLY: 0, MONTHLY: 0 };
  return Object.fromEntries(
    Object.entries(numbers).map(([rule, count]) => [`${which}_KEEP_${rule}`, `${count}`]),
  );
}

/** Keeps one backup locally, two of each day's last in S3. */
const config = parseBackupConfig({
  DATABASE_URL: 'sqlite:////data/app.db',
  BACKUP_NAME: 'app',
  S3_BUCKET: 'backups',
  ...keep('BACKUP', 1, 0),
  ...keep('S3', 1, 2),
});

describe('what is known of a backup, after its local copy is gone', () => {
  let root: string;
  let local: LocalStore;
  let remote: Store;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'dropback-states-'));
    local = new LocalStore(join(root, 'local'), 'app');
    remote = asRemote(new LocalStore(join(root, 'remote'), 'app'));
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  const make = async (day: number, hour: number, ...stores: Store[]): Promise<Manifest> => {
    const at = new Date(Date.UTC(2026, 10, day, hour));
    const source = join(root, `source-${day}-${hour}`);
    const { manifest } = await sampleBackup(source, { at, bytes: 100 });
    for (const store of stores) await store.publish(manifest, { path: source }, never);
    return manifest;
  };
  const note = ({ id }: Manifest, status: Verification['status'], where: 'local' | 's3') =>
    local.updateState(id, (state) =>
      withVerification(state, {
        ...{ kind: 'archive', status, where, at: now.toISOString(), durationMs: 1 },
      }),
    );
  const pruneAll = (store: Store | undefined = remote) =>
    prune({ config, local, clock, log, ...(store ? { remote: store } : {}) }, false, never);
  const idsIn = async (store: Store) => [...(await store.ids(never))].sort();
  const states = async () =>
    (await readdir(join(root, 'local'))).filter((name) => name.endsWith('.state.json')).sort();

  test('a backup that is known to be bad takes no good one’s place in S3', async () => {
    const good = await make(20, 1, local, remote);
    const bad = await make(20, 2, local, remote);
    const newest = await make(21, 1, local, remote);
    for (const manifest of [good, newest]) await note(manifest, 'ok', 'local');
    await note(bad, 'failed', 's3');
    // Uploaded, so that only the policy decides: the local copies of two of them go.
    for (const manifest of [good, bad]) await local.remove(manifest, never);
    await pruneAll();
    await pruneAll();
    expect(await idsIn(remote)).toEqual([good.id, bad.id, newest.id]);
    expect(await states()).toHaveLength(3);
  });

  test('the state goes with the last copy', async () => {
    const old = await make(18, 1, local, remote);
    const kept = await make(20, 1, remote);
    const newest = await make(21, 1, local, remote);
    for (const manifest of [old, kept, newest]) await note(manifest, 'ok', 's3');
    await local.remove(old, never);
    await pruneAll();
    expect(await idsIn(remote)).toEqual([kept.id, newest.id]);
    expect(await states()).toEqual([`${kept.id}.state.json`, `${newest.id}.state.json`]);
  });

  test('without S3 it goes with the local one; with one that is away it stays', async () => {
    const old = await make(20, 1, local);
    const newest = await make(21, 1, local);
    for (const manifest of [old, newest]) await note(manifest, 'ok', 'local');
    await local.remove(old, never);
    const down = Object.create(remote, {
      ids: { value: () => Promise.reject(new Error('down')) },
      list: { value: () => Promise.reject(new Error('down')) },
    }) as Store;
    await pruneAll(down);
    expect(await states()).toHaveLength(2);
    await prune({ config, local, clock, log }, false, never);
    expect(await states()).toEqual([`${newest.id}.state.json`]);
  });

  test('what a verification found in S3 alone is noted', async () => {
    const { id } = await make(20, 1, remote);
    const verifier = new Verifier({
      ...{ name: 'app', local, remote, clock, log },
      catalogue: new Catalogue(local, remote, clock),
      rehearsals: undefined as never,
    });
    const request = { selection: { id }, restore: false, onProgress: () => {} };
    const { reports } = await verifier.verify(request, never);
    expect(reports).toMatchObject([{ id, where: 's3', status: 'ok' }]);
    const { verifications } = await local.readState(id);
    expect(verifications).toMatchObject([{ kind: 'archive', where: 's3', status: 'ok' }]);
  });
});
