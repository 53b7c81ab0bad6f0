import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { TestContainers } from '../support/containers.ts';
import { PostgresStack } from '../support/postgres-stack.ts';
import { servers, testbed } from '../support/testbed.ts';

// Some seconds each; a machine that is busy otherwise may take many times that.
vi.setConfig({ testTimeout: 240_000 });

/** Writes 100 times a second as one connection, connects again when it is cut off. */
const APPLICATION = `
trap 'exit 0' TERM
run=$(cat /proc/sys/kernel/random/uuid)
while :; do
  printf '%s\\n' "INSERT INTO public.event (run) VALUES ('$run')" '\\watch 0.01' |
    psql -Xq -v ON_ERROR_STOP=1 >/dev/null 2>&1 & wait $!
  sleep 0.05 & wait $!
done`;

const ROWS = `SELECT count(*) || ' ' || coalesce(sum(hashtextextended(r::text, 0)), 0)`;
const DUMPED = [`${ROWS} FROM public.big r`, `${ROWS} FROM public.event r WHERE run = 'dumped'`];

const fingerprint = (stack: PostgresStack) =>
  Promise.all(DUMPED.map((query) => stack.bed.value(query)));

/** Clients that nobody stops: they come back as fast as they are thrown out. */
function reconnecting(stack: PostgresStack, clients: number): AsyncDisposable {
  let isDone = false;
  const loop = async () => {
    while (!isDone) {
      try {
        await using session = await stack.bed.open(stack.bed.live, stack.bed.app);
        while (!isDone) await session.query('SELECT 1 FROM pg_sleep(0.01)');
      } catch {
        await sleep(10);
      }
    }
  };
  const loops = Array.from({ length: clients }, loop);
  return {
    async [Symbol.asyncDispose]() {
      isDone = true;
      await Promise.all(loops);
    },
  };
}

interface Measured {
  readonly rows: number;
  readonly downtimeMs: number;
  readonly durationMs: number;
  readonly written: number;
}

async function restoreUnderLoad(
  stack: PostgresStack,
  containers: TestContainers,
  rows: number,
): Promise<Measured> {
  const { bed } = stack;
  await bed.sql(`
    CREATE TABLE big AS SELECT i AS id, 'row ' || i AS note FROM generate_series(1, ${rows}) AS i;
    ALTER TABLE big ADD PRIMARY KEY (id);
    CREATE TABLE event (id bigserial PRIMARY KEY, run text NOT NULL, at timestamptz DEFAULT clock_timestamp());
    INSERT INTO event (run) SELECT 'dumped' FROM generate_series(1, 1000)`);
  const wanted = await fingerprint(stack);
  const path = join(bed.folder, `${randomUUID()}.dump`);
  await bed.tool('pg_dump', ['-Fc', '-Z1', '-f', path]);
  await bed.sql(
    `UPDATE big SET note = 'spoilt' WHERE id % 10 = 0; DELETE FROM event WHERE id % 2 = 0`,
  );
  const { host, port, password } = bed.server;
  const environment = {
    ...{ PGHOST: host, PGPORT: String(port), PGDATABASE: bed.live },
    ...{ PGUSER: 'postgres', PGPASSWORD: password },
  };
  const script = APPLICATION;
  const app = await containers.create(`app-${rows}`, { script, environment, network: 'host' });
  const daemon = await stack.restoreDaemon({
    RESTORE_STOP_CONTAINERS: app,
    DOCKER_HOST: containers.host,
  });
  const query = "SELECT string_agg(DISTINCT run, ',') FROM public.event WHERE run <> 'dumped'";
  const runs = async () => (await bed.value(query)) ?? undefined;
  const before = await daemon.until('the first row', runs);
  await using _ = reconnecting(stack, 4);

  const report = await stack.restored(daemon, path, 'big.dump');
  expect(report.stopped).toEqual([app]);
  // It is back, started anew, and writes to the new database; nothing of its first run is there.
  const after = await daemon.until('a row after the restore', runs);
  expect(after).not.toContain(before);
  expect(after.split(',')).toHaveLength(1);
  expect(await fingerprint(stack)).toEqual(wanted);
  expect(report.tables?.find(({ name }) => name === 'big')?.rows).toBe(rows);
  const count = "SELECT count(*) FROM public.event WHERE run <> 'dumped'";
  const written = Number(await bed.value(count, report.previous?.name ?? ''));
  return { rows, downtimeMs: report.downtimeMs ?? -1, durationMs: report.durationMs, written };
}

describe.skipIf(!testbed.docker).each(servers)('under load, PostgreSQL $major', (server) => {
  test('the data is exactly the dump’s, and the downtime does not grow with it', async () => {
    await using containers = new TestContainers();
    const measured: Measured[] = [];
    for (const rows of [100_000, 1_000_000]) {
      await using stack = await PostgresStack.create(server);
      measured.push(await restoreUnderLoad(stack, containers, rows));
    }
    for (const { rows, downtimeMs, durationMs, written } of measured) {
      console.log(
        `PostgreSQL ${server.major}, ${rows} rows: down for ${downtimeMs} ms of ${durationMs} ms, ${written} rows written meanwhile`,
      );
      expect(downtimeMs).toBeGreaterThan(0);
      expect(downtimeMs).toBeLessThan(5000);
      expect(written).toBeGreaterThan(0);
    }
  });
});
