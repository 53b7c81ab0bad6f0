import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { BackupAlerts } from '../../src/backup/backup-alerts.ts';
import { NOTHING_LOST } from '../../src/backup/lost-copies.ts';
import { RemoteCopies } from '../../src/backup/remote-copies.ts';
import { Uploads } from '../../src/backup/uploads.ts';
import { type Alerts, noAlerts } from '../../src/core/alerts/alert.ts';
import { parseBackupConfig } from '../../src/core/config/backup.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { DropbackError } from '../../src/core/runtime/errors.ts';
import { LocalStore } from '../../src/core/stores/local/store.ts';
import type { S3Store } from '../../src/core/stores/s3/store.ts';
import type { Store } from '../../src/core/stores/store.ts';
import { asRemote, sampleBackup } from '../support/backups.ts';
import { SteppedClock } from '../support/stepped-clock.ts';

const never = new AbortController().signal;

test('the newest copy is looked at every hour, and a store that refuses that is told', async () => {
  const root = await mkdtemp(join(tmpdir(), 'dropback-copies-'));
  const stop = new AbortController();
  const clock = new SteppedClock(Date.UTC(2026, 10, 22, 19));
  const config = parseBackupConfig({
    DATABASE_URL: 'sqlite:////data/app.db',
    BACKUP_NAME: 'app',
    S3_BUCKET: 'backups',
    S3_PRUNE: 'false',
  });
  const log = silentLogger();
  const local = new LocalStore(join(root, 'local'), 'app');
  const remote = asRemote(new LocalStore(join(root, 'remote'), 'app'));
  const at = new Date(Date.UTC(2026, 10, 22, 18));
  const { manifest, path } = await sampleBackup(join(root, 'one'), { at, bytes: 1000 });
  await local.publish(manifest, { path }, never);
  await new Uploads({ local, remote, clock, log }).drain(never);

  const told: string[] = [];
  const news = async (_: string, { event }: { event: string }) => void told.push(event);
  const tell: Alerts['tell'] = async ({ event }) => void told.push(event);
  const alerts = new BackupAlerts({
    ...{ local, log },
    alerts: { ...noAlerts, tell, raise: news, clear: news },
  });
  const swept = async () => ({ abortedUploads: [], removed: [], warnings: [] });
  const copies = new RemoteCopies({
    ...{ config, local, clock, log, alerts },
    remote: Object.assign(remote, { sweep: swept }) as unknown as S3Store,
    prune: async () => ({ lost: NOTHING_LOST }),
  });
  const hours = async (isSo: () => boolean | Promise<boolean>) => {
    const deadline = performance.now() + 30_000;
    while (!(await isSo())) {
      if (performance.now() > deadline) throw new Error(`in vain; told: ${told.join()}`);
      await clock.advance(3_600_000);
    }
  };
  const running = copies.run(stop.signal);
  try {
    const confirm: Store['confirm'] = async () => {
      throw new DropbackError('store/refused', 'no', { hint: 'h' });
    };
    const honest = remote.confirm.bind(remote);
    Object.assign(remote, { confirm });
    await hours(() => copies.unseen !== undefined);
    expect(copies.unseen).toMatchObject({ code: 'store/refused' });
    expect(told).toContain('copies-unseen');

    Object.assign(remote, { confirm: honest });
    await remote.remove(manifest, never);
    const isBack = async () => (await remote.ids(never)).has(manifest.id);
    await hours(isBack);
    await hours(() => copies.unseen === undefined);
    expect(told.filter((event) => event === 'copies-lost')).toHaveLength(1);
    expect(told).toContain('copies-seen-again');
  } finally {
    stop.abort();
    await running;
    await rm(root, { recursive: true, force: true });
  }
});
