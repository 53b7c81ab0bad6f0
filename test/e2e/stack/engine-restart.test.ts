import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { canStartEngine, OwnEngine } from '../../support/own-engine.ts';
import { buildImage, docker, findEngine, imageSettings, testImage } from './engine.ts';
import { heldSettings, heldWorker, holdStop, letStart, letStop } from './held-worker.ts';
import { Stack, until } from './stack.ts';

const engine = canStartEngine && (await findEngine());

const COMPOSE = ['docker/compose.prod.yml', 'docker/compose.backup.yml'];

/**
 * The engine starts the application by itself. That it starts the others after a crash, too, takes
 * `always`: some releases take those for stopped by hand that a crash has left running.
 */
const always = `
services:
  web: { restart: always }
  postgres: { restart: always }
  db-restore: { restart: always }
`;

describe.skipIf(!engine)('around a restore that is under way', () => {
  let own: OwnEngine;
  let stack: Stack;

  beforeAll(async () => {
    const postgres = (await imageSettings())['POSTGRES_IMAGE'] ?? 'postgres:18';
    await Promise.all([buildImage(), buildApplication(postgres)]);
    own = await OwnEngine.start();
    await own.load([testImage, 'dropback-demo-web', postgres]);
    stack = await Stack.create({
      files: [...COMPOSE, 'docker/always.yml', 'docker/worker.yml'],
      profiles: ['postgres'],
      extraFiles: { 'docker/always.yml': always, 'docker/worker.yml': heldWorker },
      settings: { ...heldSettings, DOCKER_SOCKET: own.socket },
      dockerHost: own.host,
    });
    await stack.compose(['up', '-d', 'web', 'postgres', 'worker', 'db-restore']);
    await letStart(stack);
    await until('the table', async () => (await rows()) === 0, 300);
    await stack.sql("INSERT INTO records (title) SELECT 'kept' FROM generate_series(1, 500)");
    const dump = ['pg_dump', '-U', 'app', '-Fc', '--no-owner', 'app'];
    const { stdout } = await stack.exec('postgres', [...dump, '-f', '/tmp/app.dump']);
    expect(stdout).toBe('');
    await stack.docker([
      'cp',
      `${stack.name('postgres')}:/tmp/app.dump`,
      join(stack.folder, 'app.dump'),
    ]);
    await stack.sql('DELETE FROM records');
  }, 900_000);

  afterAll(async () => {
    await stack?.[Symbol.asyncDispose]();
    await own?.[Symbol.asyncDispose]();
  }, 120_000);

  const rows = async () => Number(await stack.sql('SELECT count(*) FROM records'));
  const isUp = async (service: string) => (await stack.inspect(service)).running;

  /** Drops the dump, and settles when `web` is stopped and the restore hangs at `worker`. */
  async function dropAndHold(name: string): Promise<void> {
    await stack.sql('DELETE FROM records');
    await holdStop(stack);
    await stack.drop(join(stack.folder, 'app.dump'), name);
    await until('web stopped', async () => !(await isUp('web')), 120);
    expect(await isUp('worker')).toBe(true);
  }

  async function ended(name: string) {
    const report = await until(
      'the report',
      async () => (await stack.reports('done'))[`${name}.report.json`],
      240,
    );
    expect(report.outcome).toBe('restored');
    expect(await rows()).toBe(500);
    for (const service of ['web', 'worker']) expect(await isUp(service)).toBe(true);
    const stagings = "SELECT count(*) FROM pg_database WHERE datname LIKE 'dropback\\_s\\_%'";
    await until('no staging database', async () => (await stack.sql(stagings)) === '0');
    return report['warnings'] as string[];
  }

  test.each(['TERM', 'KILL'] as const)(
    'the engine ends by %s and is started again: it ends well, and says what it saw',
    async (signal) => {
      const name = `${signal.toLowerCase()}.dump`;
      await dropAndHold(name);
      await own.end(signal);
      await own.begin();
      await until('the worker, started by the engine', () => isUp('worker'), 120);
      await letStop(stack);
      const warnings = await ended(name);
      expect(warnings.join('\n')).toContain('interrupted at the step stop');
    },
    400_000,
  );

  test('the web container is re-created: it ends well, and says what it saw', async () => {
    await dropAndHold('recreated.dump');
    await stack.compose(['up', '-d', '--no-deps', '--force-recreate', 'web']);
    expect(await isUp('web')).toBe(true);
    await letStop(stack);
    const warnings = await ended('recreated.dump');
    expect(warnings.join('\n')).toMatch(new RegExp(`came back.*${stack.name('web')}`));
  }, 400_000);
});

/** On the usual engine, where the builder's cache is. */
async function buildApplication(postgres: string): Promise<void> {
  await using builder = await Stack.create({ files: ['docker/compose.prod.yml'] });
  await builder.compose(['build', 'web']);
  const found = await docker(['image', 'inspect', postgres], { check: false });
  if (found.code !== 0) await docker(['pull', postgres]);
}
