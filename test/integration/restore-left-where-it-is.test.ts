import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { script, World } from '../support/restore/world.ts';
import { canRunAs } from './sqlite/support.ts';

vi.setConfig({ testTimeout: 120_000 });
const US = 1000;
const child = fileURLToPath(new URL('../support/restore/daemon-child.ts', import.meta.url));
const plain = [`--reuid=${US}`, `--regid=${US}`, '--clear-groups', '--inh-caps=-all'];
/** As the image's entrypoint starts db-restore. */
const mayChown = [...plain.slice(0, 3), '--inh-caps=-all,+chown', '--ambient-caps=-all,+chown'];

/** A drop folder like /tmp: of root, and what another user put there only that user may move. */
describe.runIf(await canRunAs(US))('a sticky drop folder', () => {
  let world: World;
  let daemon: ChildProcess | undefined;

  beforeEach(async () => {
    world = await World.create();
    await chmod(world.root, 0o755);
    spawnSync('chown', ['-R', `${US}:${US}`, world.root]);
    spawnSync('chown', ['root:root', world.incoming]);
    await chmod(world.incoming, 0o1777);
  });
  afterEach(async () => {
    await ended();
    await world.remove();
  });

  function start(rights: readonly string[]): void {
    const command = [...rights, '--', process.execPath, child, world.root];
    daemon = spawn('setpriv', command, { stdio: ['pipe', 'inherit', 'inherit'] });
  }

  async function ended(): Promise<void> {
    if (!daemon || daemon.exitCode !== null) return;
    const closed = new Promise((resolve) => daemon?.once('close', resolve));
    daemon.stdin?.end();
    await closed;
  }

  /** Root's files in there; `name` is moved in by the daemon's own user, so that it can be taken. */
  async function dropOwn(name: string): Promise<void> {
    await world.drop(name, script('fresh'));
    spawnSync('chown', [`${US}:${US}`, join(world.incoming, name)]);
  }

  const reports = async () =>
    (await readdir(world.path('failed'))).filter((name) => name.endsWith('.report.json'));

  test('what cannot be moved is refused once, also after a restart, and holds nothing up', async () => {
    await writeFile(join(world.incoming, 'theirs.sql'), script('theirs'));
    await mkdir(join(world.incoming, 'folder.sql'));
    start(plain);
    expect(await world.report('theirs.sql')).toMatchObject({
      outcome: 'refused',
      error: { code: 'drop/not-movable', hint: expect.stringContaining('sticky') },
    });
    expect((await world.report('folder.sql')).error?.code).toBe('drop/not-a-file');
    await dropOwn('ours.sql');
    expect(await world.report('ours.sql')).toMatchObject({ outcome: 'restored' });
    await ended();

    start(plain);
    await dropOwn('again.sql');
    expect(await world.report('again.sql')).toMatchObject({ outcome: 'restored' });
    expect((await reports()).sort()).toEqual(['folder.sql.report.json', 'theirs.sql.report.json']);
    expect(await readdir(world.incoming)).toEqual(expect.arrayContaining(['theirs.sql']));

    // Written anew, it is another drop.
    await writeFile(join(world.incoming, 'theirs.sql'), script('theirs', 'changed'));
    await world.until(async () => (await reports()).length === 3, 60_000);
  });

  test('with CAP_CHOWN, as the image gives it, it is taken in', async () => {
    await writeFile(join(world.incoming, 'theirs.sql'), script('theirs'));
    start(mayChown);
    expect(await world.report('theirs.sql')).toMatchObject({ outcome: 'restored' });
    expect(await readdir(world.incoming)).toEqual(['check']);
  });
});
