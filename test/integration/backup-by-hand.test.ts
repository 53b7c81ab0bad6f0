import { expect, test } from 'vitest';
import { BackupDaemon } from '../../src/backup/daemon.ts';
import { Rehearsals } from '../../src/backup/verify/rehearsal.ts';
import { Verifier } from '../../src/backup/verify/verifier.ts';
import { parseBackupConfig } from '../../src/core/config/backup.ts';
import { openBackupEngine } from '../../src/core/engines/open-backup-engine.ts';
import { openRehearsalEngine } from '../../src/core/engines/open-rehearsal-engine.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { backupHealth } from '../../src/core/requests/backup-status.ts';
import { Catalogue } from '../../src/core/stores/catalogue.ts';
import { LocalStore } from '../../src/core/stores/local/store.ts';
import { SqliteStack } from '../support/sqlite-stack.ts';
import { SteppedClock } from '../support/stepped-clock.ts';

/** Of real time, for programs on a busy machine. */
const LONG_MS = 120_000;

interface Wired extends AsyncDisposable {
  readonly stack: SqliteStack;
  readonly daemon: BackupDaemon;
}

/** A daemon of this process whose runs fail, and a stack beside it. */
async function wire(clock: SteppedClock): Promise<Wired> {
  const resources = new AsyncDisposableStack();
  const stack = resources.use(await SqliteStack.create());
  const config = parseBackupConfig(stack.environment({ BACKUP_PRE_HOOK: 'false' }));
  const log = silentLogger();
  const shared = { clock, log };
  const engine = resources.use(await openBackupEngine(config.database, shared));
  const folder = stack.bench.path('own');
  const rehearsal = resources.use(await openRehearsalEngine(config, { folder, ...shared }));
  const local = new LocalStore(stack.bench.path('backups', 'app'), 'app');
  const { timeoutMs, name, verify } = config;
  const { queries } = verify;
  const rehearsals = new Rehearsals({ engine: rehearsal, local, folder, queries, timeoutMs, log });
  const catalogue = new Catalogue(local, undefined, clock);
  const verifier = new Verifier({ name, local, catalogue, rehearsals, ...shared });
  const daemon = new BackupDaemon({ config, engine, local, verifier, version: '0.0.0', ...shared });
  return { stack, daemon, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

test('a clock that is set back by years puts off no run, and hides none that is overdue', {
  timeout: 300_000,
}, async () => {
  const years = 5 * 365 * 86_400_000;
  const clock = new SteppedClock(Date.now() + years);
  await using wired = await wire(clock);
  const { daemon } = wired;
  const stop = new AbortController();
  const serving = daemon.serve(stop.signal);
  try {
    const hasFailed = (times: number) => () => daemon.status().failuresSinceGood >= times;
    await clock.until('a failed run', hasFailed(1), LONG_MS);
    clock.jump(-years);
    await clock.until('it to be tried again', hasFailed(2), LONG_MS);
    const { overdueAfter, startedAt } = daemon.status();
    const day = 86_400_000;
    expect(Date.parse(startedAt)).toBeLessThan(Date.now() + day);
    expect(Date.parse(overdueAfter)).toBeLessThan(Date.now() + 2 * day);
  } finally {
    stop.abort();
    await serving;
  }
});

test('a backup made by hand counts for the daemon whose own run has failed', {
  timeout: 300_000,
}, async () => {
  // Behind that of the machine, which dates the other backup: so that it is the later one.
  const clock = new SteppedClock(Date.now() - 3_600_000);
  await using wired = await wire(clock);
  const { stack, daemon } = wired;
  const stop = new AbortController();
  const serving = daemon.serve(stop.signal);
  try {
    const hasFailed = () => daemon.status().failuresSinceGood > 0;
    await clock.until('a failed run', hasFailed, LONG_MS);
    expect(backupHealth(daemon.status(), clock.now())).toBe('degraded');

    const byHand = await stack.run('dropback', ['backup']);
    expect(byHand.code, byHand.output).toBe(0);
    const [manifest] = await stack.bench.manifests();
    const isKnown = () => {
      const { lastGood, failuresSinceGood } = daemon.status();
      return lastGood?.id === manifest?.id && failuresSinceGood === 0;
    };
    await clock.until('the daemon to see it', isKnown, LONG_MS);
    expect(backupHealth(daemon.status(), clock.now())).toBe('healthy');
  } finally {
    stop.abort();
    await serving;
  }
});
