import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { BackupAlerts } from '../../src/backup/backup-alerts.ts';
import { REMOVED } from '../../src/backup/verify/errors.ts';
import type { Rehearsals } from '../../src/backup/verify/rehearsal.ts';
import { Verifier } from '../../src/backup/verify/verifier.ts';
import { type News, noAlerts } from '../../src/core/alerts/alert.ts';
import { testCompressed } from '../../src/core/archive/compression.ts';
import type { Manifest } from '../../src/core/archive/manifest.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { readBackupStatus } from '../../src/core/requests/backup-status.ts';
import { Doubts } from '../../src/core/requests/doubts.ts';
import { systemClock as clock } from '../../src/core/runtime/clock.ts';
import { Catalogue, forRetention } from '../../src/core/stores/catalogue.ts';
import { BackupFolder } from '../../src/core/stores/local/backup-folder.ts';
import { listFolder } from '../../src/core/stores/local/list-folder.ts';
import { LocalStore } from '../../src/core/stores/local/store.ts';
import { sampleBackup } from '../support/backups.ts';
import { canFailReads, FailingFile } from '../support/failing-file.ts';
import { failureOf } from '../support/failure.ts';
import { SqliteStack } from '../support/sqlite-stack.ts';

// Generous: other test files load the machine.
vi.setConfig({ testTimeout: 240_000 });

const never = new AbortController().signal;
const log = silentLogger();
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dropback-reads-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function publish(local: LocalStore): Promise<Manifest> {
  const source = join(folder, 'source');
  const { manifest } = await sampleBackup(source);
  await local.publish(manifest, { path: source }, never);
  return manifest;
}

function verifierOf(local: LocalStore): { verifier: Verifier; doubts: Doubts } {
  const doubts = new Doubts(join(folder, 'own'), local);
  const catalogue = new Catalogue(local, undefined, clock);
  const rehearsals = undefined as unknown as Rehearsals;
  return {
    verifier: new Verifier({ name: 'app', local, catalogue, rehearsals, doubts, clock, log }),
    doubts,
  };
}

const request = { selection: 'all', restore: false, onProgress: () => {} } as const;

const onFailingDisk = canFailReads ? describe : () => {};
onFailingDisk('a disk that fails', () => {
  test.each(['gzip', 'zstd'] as const)('is not taken for damage by %s', async (compression) => {
    const path = join(folder, 'archive');
    const content = randomBytes(1_000_000);
    writeFileSync(path, compression === 'gzip' ? gzipSync(content) : zstdCompressSync(content));
    using _failing = new FailingFile(path, 500_000);
    await using file = await open(path);
    const error = await failureOf(testCompressed(file, compression, never));
    expect(error.code).toBe('disk/failing');
  });

  test('a backup that it does not give back is no longer a verified one, nor a bad one', async () => {
    const local = new LocalStore(join(folder, 'app'), 'app');
    const manifest = await publish(local);
    const { id } = manifest;
    const { verifier, doubts } = verifierOf(local);
    const view = async () => {
      const state = await local.readState(id);
      return forRetention({ manifest, state }, 'local', undefined);
    };
    await verifier.verify(request, never);
    expect(await view()).toMatchObject({ verified: true, unreadable: false });
    {
      using _failing = new FailingFile(local.archivePath(manifest), 50_000);
      const { reports } = await verifier.verify(request, never);
      expect(reports).toMatchObject([
        { id, status: 'unreadable', error: { code: 'store/unreadable' } },
      ]);
      expect(reports[0]?.error?.message).toContain('EIO');
      const copied = await failureOf(local.fetch(manifest, join(folder, 'copy'), never));
      expect(copied.code).toBe('store/unreadable');
    }
    expect(await view()).toMatchObject({ verified: false, bad: false, unreadable: true });
    const told: News[] = [];
    const alerts = { ...noAlerts, raise: async (_: string, news: News) => void told.push(news) };
    const people = new BackupAlerts({ alerts, local, log });
    await people.inDoubt(await doubts.read());
    expect(told).toMatchObject([{ event: 'verification-failed' }]);
    expect(told[0]?.title).toMatch(/could not be read.*EIO/);
    await verifier.verify(request, never);
    expect(await view()).toMatchObject({ verified: true, unreadable: false });
    expect(await doubts.read()).toEqual([]);
  });

  test('nor is one whose manifest it does not give back', async () => {
    const local = new LocalStore(join(folder, 'app'), 'app');
    const { id } = await publish(local);
    const { verifier } = verifierOf(local);
    using _failing = new FailingFile(join(folder, 'app', `${id}.json`));
    const { reports } = await verifier.verify(request, never);
    expect(reports).toMatchObject([{ id, status: 'unreadable' }]);
  });

  test('people see it: verify, status, and the daemon', async () => {
    await using stack = await SqliteStack.create();
    expect((await stack.run('dropback', ['backup'])).code).toBe(0);
    const [manifest] = await stack.bench.manifests();
    if (!manifest) throw new Error('no backup was made');
    {
      const path = stack.bench.path('backups', 'app', manifest.archive.file);
      using _failing = new FailingFile(path);
      const verified = await stack.run('dropback', ['verify']);
      expect(verified.code, verified.output).toBe(1);
      expect(verified.output).toMatch(/^UNREADABLE .*\n.*store\/unreadable: .*EIO/m);
    }
    const status = await stack.run('dropback', ['status']);
    expect(status.output).toContain('counts as verified no longer');
    expect(status.output).toContain('unhealthy');
    const daemon = stack.start('db-backup');
    await daemon.says(/next backup/);
    const told = await daemon.until('what it knows', async () => {
      const kept = await readBackupStatus(stack.bench.path('backups', '.dropback', 'app'));
      return kept?.inDoubt;
    });
    expect(told).toMatchObject([{ id: manifest.id, status: 'unreadable' }]);
  });
});

describe('a backup that is read wrongly', () => {
  async function verifyDamaged(onProgress: (path: string, sound: Buffer) => void) {
    const local = new LocalStore(join(folder, 'app'), 'app');
    const manifest = await publish(local);
    const path = join(folder, 'app', manifest.archive.file);
    const sound = readFileSync(path);
    const damaged = Buffer.from(sound);
    damaged.writeUInt8(damaged.readUInt8(10) ^ 1, 10);
    writeFileSync(path, damaged);
    const asked = { ...request, onProgress: () => onProgress(path, sound) };
    const { reports } = await verifierOf(local).verifier.verify(asked, never);
    return reports;
  }

  test('once, and well the second time, is not called bad', async () => {
    const reports = await verifyDamaged(writeFileSync);
    const error = { code: 'verify/read-differently', facts: { first: { code: 'store/corrupt' } } };
    expect(reports).toMatchObject([{ status: 'inconclusive', error }]);
  });

  test('twice is', async () => {
    const reports = await verifyDamaged(() => {});
    expect(reports).toMatchObject([{ status: 'failed', error: { code: 'store/corrupt' } }]);
  });
});

describe('a backup that retention removes meanwhile', () => {
  test('is neither good nor bad', async () => {
    class Pruned extends LocalStore {
      override async verify(manifest: Manifest): Promise<void> {
        await this.remove(manifest, never);
        return await super.verify(manifest, never);
      }
    }
    const local = new Pruned(join(folder, 'app'), 'app');
    await publish(local);
    const { reports } = await verifierOf(local).verifier.verify(request, never);
    expect(reports).toMatchObject([{ status: 'inconclusive', error: { code: REMOVED } }]);
    expect(await local.stateIds()).toEqual(new Set());
  });

  test('is no manifest without its archive', async () => {
    const local = new LocalStore(join(folder, 'app'), 'app');
    const manifest = await publish(local);
    class Removing extends BackupFolder {
      override async sizeOf(path: string): Promise<number | undefined> {
        await local.remove(manifest, never);
        return await super.sizeOf(path);
      }
    }
    const listing = await listFolder(new Removing(join(folder, 'app'), 'app'));
    expect(listing).toEqual({ backups: [], strays: [] });
  });
});
