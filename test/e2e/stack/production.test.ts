import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dropName } from '../../support/drop-name.ts';
import { Browser } from './browser.ts';
import { buildImage, chromium, docker, findEngine, run } from './engine.ts';
import { heldSettings, heldWorker, holdStop, letStart, letStop } from './held-worker.ts';
import { artefacts, Stack, until, user } from './stack.ts';

const engine = await findEngine();

describe.skipIf(!engine)('the production stack', () => {
  let stack: Stack;
  let archive: string;

  beforeAll(async () => {
    await buildImage();
    stack = await Stack.create({
      files: ['docker/compose.prod.yml', 'docker/compose.backup.yml', 'docker/worker.yml'],
      profiles: ['postgres'],
      extraFiles: { 'docker/worker.yml': heldWorker },
      // How long a file that looks truncated may still be growing.
      settings: { ...heldSettings, RESTORE_SETTLE_SECONDS: '2' },
    });
    await stack.compose(['up', '--build', '-d', 'gateway', 'web', 'postgres']);
    await stack.compose(['up', '-d', 'worker', 'db-backup', 'db-restore']);
    await letStart(stack);
    await until('the application answers', async () => (await stack.fetch()).status === 200, 400);
  }, 900_000);

  afterAll(async () => {
    await stack?.[Symbol.asyncDispose]();
  }, 120_000);

  test('from nothing: the first backup appears on the host, in folders of PUID', async () => {
    await until('a first backup', async () => (await stack.backups()).length > 0, 90);
    const incoming = join(stack.folder, 'restore/incoming');
    await until('the drop folder', async () => (await stat(incoming)).isDirectory());
    for (const path of ['backups', 'restore', 'restore/incoming', await stack.newestArchive()]) {
      const { uid, gid } = await stat(path.startsWith('/') ? path : join(stack.folder, path));
      expect({ path, uid, gid }).toEqual({ path, ...user });
    }
  }, 120_000);

  test('both daemons become healthy', async () => {
    for (const service of ['db-backup', 'db-restore', 'gateway', 'web', 'postgres']) {
      const healthy = async () => (await stack.inspect(service)).health === 'healthy';
      await until(`${service} is healthy`, healthy, 60);
    }
  }, 120_000);

  test('what is run by exec has the daemon’s user, groups and rights', async () => {
    const { stdout } = await stack.exec('db-restore', ['entrypoint.sh', 'id', '-u']);
    expect(stdout.trim()).toBe(String(user.uid));
    const archive = basename(await stack.newestArchive());
    const listed = await stack.exec('db-restore', ['dropback', 'list', '--json']);
    expect(listed.stdout).toContain(archive);
  });

  test('records destroyed, the backup dropped: the page while the application is away, then the records', async () => {
    await stack.addRecords('kept', 5000);
    archive = await stack.backUp();
    await stack.removeRecords();
    expect(await stack.countRecords()).toBe(0);
    const before = await stack.startTimes();
    await stack.drop(archive);
    const codes = new Set<number>();
    const answer = async () => {
      const { status, text } = await stack.fetch();
      codes.add(status);
      return { status, text };
    };
    const page = await until('the page', async () => {
      const { status, text } = await answer();
      return status === 503 && text;
    });
    expect(page).toContain('mailto:support@example.com');
    await letStop(stack);
    const back = async () => (await answer()).status === 200;
    await until('the application', back, 120, 20);
    expect(await stack.countRecords()).toBe(5000);
    expect([...codes].sort()).toEqual([200, 503]);
    await until('a report', async () => Object.keys(await stack.reports('done')).length > 0);
    const [report] = Object.values(await stack.reports('done'));
    expect(report?.outcome).toBe('restored');
    const after = await stack.startTimes();
    const changed = Object.keys(before).filter((name) => before[name] !== after[name]);
    expect(changed.sort()).toEqual([`/${stack.name('web')}`, `/${stack.name('worker')}`]);
  }, 120_000);

  test.skipIf(!chromium)(
    'a browser shows it all by itself',
    async () => {
      await using browser = await Browser.start(chromium as string);
      const folder = await artefacts();
      await stack.removeRecords();
      await browser.size(1280, 800);
      await browser.open(stack.url());
      await until('the application', async () => (await browser.heading()) === 'Records');
      await holdStop(stack);
      await stack.drop(archive);
      await until('the application is away', async () => (await stack.fetch()).status === 503);
      await browser.open(stack.url());
      const told = async () => /being restored/.test(String(await browser.heading()));
      await until('the page says that a restore is under way', told);
      await browser.screenshot(join(folder, 'maintenance-desk.png'));
      const back = async () =>
        (await browser.evaluate("document.querySelector('#count')?.textContent")) === '5000';
      await letStop(stack);
      await until('the records, without anybody asking for them', back, 120);
      await browser.screenshot(join(folder, 'records-back.png'));
      // Until then db-restore sees to it that the application runs, whoever stops it.
      const filed = async () => Object.keys(await stack.reports('done')).length >= 2;
      await until('the report of this second restore', filed);
    },
    120_000,
  );

  test.skipIf(!chromium)(
    'the page on a phone',
    async () => {
      await using browser = await Browser.start(chromium as string);
      await stack.compose(['stop', 'web']);
      await browser.size(390, 844);
      await browser.open(stack.url());
      const shown = async () => /moment/.test(String(await browser.heading()));
      await until('the maintenance page', shown);
      const overflow =
        'document.documentElement.scrollWidth > document.documentElement.clientWidth';
      expect(await browser.evaluate(overflow)).toBe(false);
      await browser.screenshot(join(await artefacts(), 'maintenance-phone.png'));
      // One that takes the connection and never answers.
      await stack.compose(['pause', 'db-restore']);
      expect((await stack.fetch('/_maintenance/status')).text).toBe('{}');
      await browser.open(stack.url());
      await until('the generic page without db-restore', shown);
      await stack.compose(['unpause', 'db-restore']);
      await stack.compose(['start', 'web']);
      await until('the application', async () => (await browser.heading()) === 'Records');
    },
    120_000,
  );

  const address = async () => {
    const format = '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}';
    return (await docker(['inspect', '-f', format, stack.name('web')])).stdout.trim();
  };

  test('the gateway survives its own restart without the application, and finds it again elsewhere', async () => {
    const before = await address();
    await stack.compose(['stop', 'web']);
    await stack.compose(['restart', 'gateway']);
    const page = await until('the page', async () => {
      const response = await fetch(stack.url('/records'), { method: 'POST', body: 'title=x' });
      return response.status === 503 && response;
    });
    expect(page.headers.get('retry-after')).toBe('5');
    expect(page.headers.get('cache-control')).toBe('no-store');
    // Takes the address that the application had.
    const squatter = `${stack.project}-squatter`;
    const network = `${stack.project}_default`;
    const sleeping = ['--entrypoint', 'sleep', 'dropback-demo-web', '300'];
    await docker(['run', '-d', '--name', squatter, '--network', network, ...sleeping]);
    await stack.compose(['start', 'web']);
    await until('the application', async () => (await stack.fetch()).status === 200, 120);
    expect(await address()).not.toBe(before);
    await docker(['rm', '-f', squatter]);
  }, 120_000);

  test('the page also stands in for a database that is away', async () => {
    await stack.compose(['stop', 'postgres']);
    await until('the page', async () => (await stack.fetch()).status === 503);
    expect((await stack.fetch('/healthz')).status).toBe(503);
    await stack.compose(['start', 'postgres']);
    await until('the application', async () => (await stack.fetch()).status === 200);
  }, 120_000);

  test('a truncated dump, and one that is none, change no container’s start time', async () => {
    const before = await stack.startTimes();
    const cut = join(stack.folder, dropName('cut', archive));
    const { size } = await stat(archive);
    await run('sh', [
      '-c',
      `head -c ${Math.floor(size / 2)} "$0" > "$1" && chmod a+r "$1"`,
      archive,
      cut,
    ]);
    await run('sh', [
      '-c',
      'head -c 5000 /dev/urandom > "$0" && chmod a+r "$0"',
      join(stack.folder, 'noise.dump'),
    ]);
    for (const name of [dropName('cut', archive), 'noise.dump']) {
      await stack.drop(join(stack.folder, name));
      const refusal = async () => (await stack.reports('failed'))[`${name}.report.json`];
      expect(await until(`the refusal of ${name}`, refusal)).toMatchObject({ outcome: 'refused' });
    }
    expect(await stack.startTimes()).toEqual(before);
    expect(await stack.countRecords()).toBe(5000);
  }, 120_000);

  test('database programs run without any capability', async () => {
    // Looks until there is a pg_dump, and prints what the kernel knows of it.
    const look =
      'while ((SECONDS < 30)); do for p in /proc/[0-9]*; do name=; read -r name <"$p/comm"; if [ "$name" = pg_dump ] && found=$(<"$p/status"); then echo "$found"; exit; fi; done 2>/dev/null; done; exit 1';
    const [{ stdout: seen }] = await Promise.all([
      stack.exec('db-backup', ['bash', '-c', look]),
      stack.exec('db-backup', ['dropback', 'backup']),
    ]);
    expect(seen).toContain(`Uid:\t${user.uid}\t${user.uid}`);
    expect(capabilities(seen)).toEqual({ CapInh: 0n, CapPrm: 0n, CapEff: 0n, CapAmb: 0n });
  }, 120_000);

  test('what db-restore starts has neither a capability nor the socket’s group', async () => {
    const module = '/app/dist/core/runtime/process/pipeline.js';
    const program = "{ name: 'cat', file: '/bin/cat', args: ['/proc/self/status'] }";
    const script = `import { capture } from '${module}'; const { signal } = new AbortController();
      console.log(process.getgroups().length > 1, await capture(${program}, { signal }));`;
    const node = ['node', '--input-type=module', '-e', script];
    const { stdout } = await stack.exec('db-restore', ['entrypoint.sh', ...node]);
    expect(stdout).toMatch(/^true /);
    expect(/^Groups:[ \t]*(.*?)[ \t]*$/m.exec(stdout)?.[1]).toBe('');
    expect(capabilities(stdout)).toEqual({ CapInh: 0n, CapPrm: 0n, CapEff: 0n, CapAmb: 0n });
  });
});

/** Of a /proc/…/status, save the bounding set. */
function capabilities(status: string): Record<string, bigint> {
  const found = [...status.matchAll(/^(Cap(?!Bnd)\w+):\s*([0-9a-f]+)$/gm)];
  return Object.fromEntries(found.map(([, name, mask]) => [name, BigInt(`0x${mask}`)]));
}
