import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildImage, docker, findEngine, imageSettings, repository, run } from './engine.ts';
import { Stack, until } from './stack.ts';

const engine = await findEngine();

const images = await imageSettings();
const NEW = images['POSTGRES_IMAGE'] ?? 'postgres:18';
const OLD = NEW.replace(/18$/, '17');

/** Which volume the server has is a setting here. */
const volume = `
volumes:
  postgres:
    external: true
    name: \${POSTGRES_VOLUME}
`;

/** The file that the documentation adds for a server of an older major. */
const OVER = 'docker/old-major.yml';

describe.skipIf(!engine)('a volume of PostgreSQL 17', () => {
  let stack: Stack;
  const volumes = () => ({ old: `${stack.project}-old`, new: `${stack.project}-new` });

  beforeAll(async () => {
    await buildImage();
    stack = await Stack.create({
      files: ['docker/compose.prod.yml', 'docker/compose.backup.yml', 'docker/volume.yml', OVER],
      profiles: ['postgres'],
      extraFiles: { 'docker/volume.yml': volume, [OVER]: 'services: {}' },
    });
    await serverIs(NEW, volumes().old);
    await stack.compose(['build', 'gateway', 'web']);
    for (const name of Object.values(volumes())) await docker(['volume', 'create', name]);
    await makeOldVolume(stack.project, volumes().old);
  }, 900_000);

  afterAll(async () => {
    if (!stack) return;
    await stack[Symbol.asyncDispose]();
    await docker(['volume', 'rm', '-f', ...Object.values(volumes())], { check: false });
  }, 120_000);

  const serverIs = (image: string, name: string) =>
    stack.configure({ POSTGRES_IMAGE: image, POSTGRES_VOLUME: name });
  const major = async () => Math.floor(Number(await stack.sql('SHOW server_version_num')) / 10_000);
  const notes = async () => Number(await stack.sql('SELECT count(*) FROM notes'));
  const isServed = () =>
    until('the application', async () => (await stack.fetch()).status === 200, 300);

  const refused = { code: 78, stderr: expect.stringContaining('docs/image.md') };
  const start = () => stack.compose(['run', '--rm', '-T', 'postgres'], { check: false });

  test('the stack refuses to start on the old layout, and says where to read on', async () => {
    expect(await start()).toMatchObject(refused);
    expect(await filesIn(volumes().old)).not.toContain('data');
  }, 120_000);

  test('it refuses an image that would keep its data in another volume', async () => {
    await serverIs(OLD, volumes().new);
    expect(await start()).toMatchObject(refused);
    expect(await filesIn(volumes().new)).toEqual(['data']);
  }, 120_000);

  test('moved into `data` as the documentation says, the same server finds everything', async () => {
    const command = await documented(/^docker run --rm -v OLD_VOLUME[\s\S]*?(?=```)/m);
    const here = command.replace('OLD_VOLUME', volumes().old).replace('postgres:18', NEW);
    await run('sh', ['-c', here]);
    expect(await filesIn(volumes().old)).toEqual(['data']);
    const over = await documented(/(?<=```yaml\n)services:\n {2}postgres:[\s\S]*?(?=```)/);
    await writeFile(join(stack.folder, OVER), over.replace('postgres:17', OLD));
    await serverIs(OLD, volumes().old);
    await stack.compose(['up', '-d', 'gateway', 'web', 'postgres']);
    await isServed();
    expect(await major()).toBe(17);
    expect(await notes()).toBe(1000);
    await stack.addRecords('of the old server', 300);
  }, 400_000);

  test('dropping what its own pg_dump wrote brings it to PostgreSQL 18', async () => {
    const dump = 'pg_dump -U app -Fc app >/tmp/app.dump';
    await stack.exec('postgres', ['sh', '-c', dump]);
    const file = join(stack.folder, 'app.dump');
    await docker(['cp', `${stack.name('postgres')}:/tmp/app.dump`, file]);
    await stack.compose(['down']);
    await writeFile(join(stack.folder, OVER), 'services: {}');
    await serverIs(NEW, volumes().new);
    await stack.compose(['up', '-d', 'gateway', 'web', 'postgres', 'db-restore']);
    await isServed();
    expect(await major()).toBe(18);
    expect(await stack.countRecords()).toBe(0);
    await stack.drop(file);
    const done = async () => Object.values(await stack.reports('done')).at(0);
    const report = await until('the restore', done, 180);
    expect(report, JSON.stringify(report)).toMatchObject({
      outcome: 'restored',
      producer: expect.stringContaining('17'),
    });
    await until('the records', async () => (await stack.countRecords()) === 300);
    expect(await notes()).toBe(1000);
    expect(await major()).toBe(18);
    expect(await filesIn(volumes().old)).toEqual(['data']);
  }, 400_000);
});

/** What docs/image.md tells to run or to write. */
async function documented(which: RegExp): Promise<string> {
  const [text] = which.exec(await readFile(join(repository, 'docs/image.md'), 'utf8')) ?? [];
  if (!text) throw new Error(`docs/image.md has no ${which}`);
  return text;
}

/** As the old stack left it: files at the top, the server shut down. */
async function makeOldVolume(project: string, name: string): Promise<void> {
  const server = `${project}-old-server`;
  const env = { POSTGRES_USER: 'app', POSTGRES_DB: 'app', POSTGRES_PASSWORD: 'pa$word"#x%/@' };
  const flags = Object.entries(env).flatMap(([key, value]) => ['-e', `${key}=${value}`]);
  const mount = `${name}:/var/lib/postgresql/data`;
  try {
    await docker(['run', '-d', '--name', server, '-v', mount, '--network', 'none', ...flags, OLD]);
    const sql = 'CREATE TABLE notes AS SELECT n FROM generate_series(1, 1000) n';
    const psql = ['exec', server, 'psql', '-h', '127.0.0.1', '-U', 'app', '-d', 'app', '-c', sql];
    await until('the old server', async () => (await docker(psql)).code === 0, 120);
    await docker(['stop', '-t', '60', server]);
  } finally {
    await docker(['rm', '-f', server], { check: false });
  }
}

async function filesIn(name: string): Promise<string[]> {
  const { stdout } = await docker(['run', '--rm', '-v', `${name}:/v:ro`, OLD, 'ls', '-A', '/v']);
  return stdout.trim().split('\n').sort();
}
