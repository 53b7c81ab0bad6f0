import { writeFile } from 'node:fs/promises';
import { describe, expect, test, vi } from 'vitest';
import { SqliteStack } from '../support/sqlite-stack.ts';

/** What is printed before it goes to stderr. */
function jsonOf({ output }: { output: string }) {
  return JSON.parse(output.slice(output.search(/^[[{]/m)));
}

// Generous: other test files load the machine.
vi.setConfig({ testTimeout: 240_000 });

describe('the commands of dropback', () => {
  test('backup, list, check, restore, --into, previous, undo: one after the other', async () => {
    await using stack = await SqliteStack.create();
    const { bench } = stack;

    const empty = await stack.run('dropback', ['list']);
    expect(empty).toMatchObject({ code: 0, output: expect.stringContaining('no backups of app') });
    const backup = await stack.run('dropback', ['backup']);
    expect(backup.code, backup.output).toBe(0);
    expect(backup.output).toMatch(/^app_\d{8}T\d{6}Z: \d+ B, 3 rows in 1 table, verified, \d/m);
    const [manifest] = await bench.manifests();
    if (!manifest) throw new Error(backup.output);
    const json = await stack.run('dropback', ['backup', '--json']);
    expect(jsonOf(json)).toMatchObject({ format: 'dropback-manifest', name: 'app' });

    const list = await stack.run('dropback', ['list']);
    expect(list.code).toBe(0);
    expect(list.output).toMatch(new RegExp(`^${manifest.id} .* 3 {2}local$`, 'm'));
    const listed = jsonOf(await stack.run('dropback', ['list', '--json']));
    expect(listed.entries.map((entry: { id: string }) => entry.id)).toContain(manifest.id);
    expect(listed.entries).toHaveLength(2);

    await stack.restoreDaemon();
    stack.sql('INSERT INTO t VALUES (4)');
    const check = await stack.run('dropback', ['check', manifest.id]);
    expect(check.code, check.output).toBe(0);
    expect(check.output).toContain('this would restore');
    expect(stack.rows()).toBe('1,2,3,4');

    const side = bench.path('data', 'side.db');
    const into = await stack.run('dropback', ['restore', manifest.id, '--into', 'side.db']);
    expect(into.code, into.output).toBe(0);
    expect(stack.rows(side)).toBe('1,2,3');
    expect(stack.rows()).toBe('1,2,3,4');

    const taken = await stack.run('dropback', ['restore', manifest.id, '--into', 'side.db']);
    expect(taken.code, taken.output).toBe(3);
    expect(taken.output).toContain('exists already');

    const byId = await stack.run('dropback', ['restore', manifest.id]);
    expect(byId.code, byId.output).toBe(0);
    expect(byId.output).toContain('restored');
    expect(byId.output).not.toContain('took 0 s');
    expect(stack.rows()).toBe('1,2,3');

    stack.sql('DELETE FROM t');
    const file = await stack.run('dropback', ['restore', bench.archivePath(manifest), '--json']);
    expect(file.code, file.output).toBe(0);
    const result = jsonOf(file);
    expect(result).toMatchObject({ exitCode: 0, report: { outcome: 'restored', rows: 3 } });
    expect(stack.rows()).toBe('1,2,3');

    const kept = await stack.run('dropback', ['previous']);
    expect(kept.code).toBe(0);
    const lines = kept.output.split('\n').filter((line) => /^[0-9a-f]{16} /.test(line));
    // One at a time is kept: the one before it made room.
    expect(lines).toEqual([expect.stringMatching(new RegExp(`  ${manifest.archive.file}$`))]);

    const restores = await stack.run('dropback', ['status', '--for', 'db-restore']);
    expect(restores.code, restores.output).toBe(0);
    expect(restores.output).toMatch(/^app {2}sqlite:.* healthy$/m);
    expect(restores.output).toMatch(/^ {2}state +waits for drops$/m);
    expect(restores.output).toContain(`the database that ${manifest.archive.file} replaced`);

    const undo = await stack.run('dropback', ['undo']);
    expect(undo.code, undo.output).toBe(0);
    expect(undo.output).toContain('the previous database is live again');
    expect(undo.output).toMatch(/is kept until \d{4}-\d\d-\d\dT[\d:]{8}Z: `dropback undo`$/m);
    // What the result says is not said before it as well.
    expect(undo.output.split('\n')).not.toContain('undone');
    expect(stack.rows()).toBe('');
    const [row, ...rows] = jsonOf(await stack.run('dropback', ['previous', '--json']));
    expect(rows).toEqual([]);
    expect(row.replacedBy).toBe('undo');
    const again = await stack.run('dropback', ['undo', row.id]);
    expect(again.code, again.output).toBe(0);
    expect(stack.rows()).toBe('1,2,3');
  });

  test('exit codes are those of the README', async () => {
    await using stack = await SqliteStack.create();
    const { bench } = stack;
    const code = async (args: string[], extra: Record<string, string> = {}) =>
      (await stack.run('dropback', args, extra)).code;
    expect(await code(['nonsense'])).toBe(64);
    expect(await code([])).toBe(64);
    expect(await code(['restore'])).toBe(64);
    expect(await code(['list', '--store', 'attic'])).toBe(64);
    expect(await code(['--help'])).toBe(0);
    expect(await code(['--version'])).toBe(0);
    const wrong = await stack.run('dropback', ['list'], {
      DATABASE_URL: 'mysql://app:s3cret@db/app',
      BACKUP_NAME: 'No Such Name',
    });
    expect(wrong.code).toBe(78);
    expect(wrong.output).toContain('DATABASE_URL');
    expect(wrong.output).toContain('BACKUP_NAME');
    expect(wrong.output).not.toContain('s3cret');

    expect(await code(['status', '--for', 'restore'])).toBe(75);
    const nobody = await stack.run('dropback', ['restore', 'latest']);
    expect(nobody.code).toBe(75);
    expect(nobody.output).toContain('start it');
    const file = await stack.run('dropback', ['restore', 'nowhere.dump']);
    expect(file.code).toBe(3);
    expect(file.output).toContain('does not exist');
    const closed = await stack.run('dropback', ['doctor', '--for', 'backup'], {
      BACKUP_DIR: '/proc/nowhere',
    });
    expect(closed.code, closed.output).toBe(1);
    expect(closed.output).toMatch(/^FAILED .*\/proc\/nowhere/m);

    await stack.restoreDaemon();
    expect(await code(['doctor'])).toBe(0);
    const noise = bench.path('noise.sql.gz');
    await writeFile(noise, 'by no means gzip');
    const refused = await stack.run('dropback', ['restore', noise]);
    expect(refused.code, refused.output).toBe(3);
    expect(refused.output).toContain('the live database is untouched');
    const unknown = await stack.run('dropback', ['restore', 'app_20200101T000000Z']);
    expect(unknown.code, unknown.output).toBe(3);
    expect(await code(['undo'])).toBe(3);
    const here = { DROPBACK_DAEMON: 'db-restore' };
    expect(await code(['status'], here)).toBe(0);
    expect(stack.rows()).toBe('1,2,3');
    // Nobody answers on that port: what it noted last is told, and that somebody should look.
    const silent = await stack.run('dropback', ['status', '--json'], { ...here, HEALTH_PORT: '9' });
    expect(silent.code, silent.output).toBe(4);
    expect(jsonOf(silent).databases).toEqual([
      expect.objectContaining({ name: 'app', health: 'unhealthy', daemon: 'not answering' }),
    ]);
  });
});
