import { mkdir, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Bench, type Daemon } from '../../../test/support/daemon.ts';
import { TestPrefix } from '../../../test/support/s3.ts';
import { freePort } from '../../../test/support/testbed/processes.mjs';
import { DATABASE, type Lab } from '../lab.ts';
import { processorSeconds, residentMb } from '../process-facts.ts';
import { startProgram } from '../product.ts';
import type { Sample, Series } from '../series.ts';
import { s3Variables } from './upload.ts';

const FILES_DONE = 10_000;
/** After it is ready: what start-up has left is collected by then. */
const CALM_MS = 5000;
const WATCHED_MS = 20_000;

/** Both daemons with nothing to do: time to be ready, memory, processor. */
export async function daemonsGroup(lab: Lab): Promise<Series[]> {
  const server = await lab.server();
  await using bench = await Bench.create();
  const isTiny = lab.options.megabytes < 100;
  await fillDone(bench, isTiny ? 100 : FILES_DONE);
  const patience = isTiny ? 0.05 : 1;
  const sqlite = `sqlite:///${bench.path('data', 'app.db')}`;
  await writeFile(bench.path('data', 'app.db'), '');
  const { s3 } = lab;
  await using prefix = s3 ? new TestPrefix(s3) : undefined;
  const postgres = { DATABASE_URL: server.url(DATABASE) };
  const worlds: readonly (readonly [string, string, Readonly<Record<string, string>>])[] = [
    ['postgresql', 'PostgreSQL', postgres],
    ['sqlite', 'SQLite', { DATABASE_URL: sqlite }],
    ...(s3 && prefix
      ? [
          [
            's3',
            'PostgreSQL and S3',
            { ...postgres, ...s3Variables(s3, prefix, 'daemons') },
          ] as const,
        ]
      : []),
  ];
  const contestants = (['db-backup', 'db-restore'] as const).flatMap((program) =>
    worlds.map(([id, world, environment]) => ({
      id: `daemons/${program}-${id}`,
      name: `${program}, ${world}, idle`,
      run: () => watch(lab, bench, program, environment, patience),
    })),
  );
  return await lab.takeTurns(contestants);
}

async function watch(
  lab: Lab,
  bench: Bench,
  program: 'db-backup' | 'db-restore',
  told: Readonly<Record<string, string>>,
  patience: number,
): Promise<Sample> {
  const port = String(await freePort());
  const environment = bench.environment({
    ...told,
    BACKUP_ON_START: 'false',
    RESTORE_POLL_INTERVAL: '5',
    HEALTH_PORT: port,
  });
  const since = performance.now();
  await using daemon = startProgram(lab.program, program, environment);
  const seconds = (await ready(daemon, port, since)) / 1000;
  await sleep(CALM_MS * patience);
  const [before, beganAt] = [processorSeconds(daemon.pid), performance.now()];
  await sleep(WATCHED_MS * patience);
  const spent = processorSeconds(daemon.pid) - before;
  const facts = {
    residentMb: residentMb(daemon.pid).now,
    corePercent: (spent / ((performance.now() - beganAt) / 1000)) * 100,
  };
  await daemon.stop();
  return { seconds, facts };
}

function ready(daemon: Daemon, port: string, since: number): Promise<number> {
  return daemon.until('ready', async () => {
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined);
    await answer?.arrayBuffer();
    return answer?.ok ? performance.now() - since : undefined;
  });
}

async function fillDone(bench: Bench, files: number): Promise<void> {
  const folder = bench.path('restore', 'done');
  await mkdir(folder, { recursive: true });
  for (let n = 0; n < files; n++) await writeFile(`${folder}/old-${n}.dump`, 'restored');
}
