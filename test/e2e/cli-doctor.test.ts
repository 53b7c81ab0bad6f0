import { mkdir } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { BackupBed } from '../integration/postgres-backup-bed.ts';
import { Bench, Daemon } from '../support/daemon.ts';
import { servers, type TestServer } from '../support/testbed.ts';

async function doctor(
  bench: Bench,
  url: string,
  args: readonly string[] = [],
  extra: Readonly<Record<string, string>> = {},
) {
  const environment = bench.environment({ DATABASE_URL: url, ...extra });
  await using run = new Daemon('dropback', environment, ['doctor', ...args]);
  const { code } = await run.exited;
  return { code, output: run.output };
}

function urlAs(server: TestServer, user: string, password: string, database: string): string {
  return `postgresql://${user}:${password}@${server.host}:${server.port}/${database}`;
}

describe.each(servers)('dropback doctor on PostgreSQL $major', (server) => {
  test('names the statements that are missing, and is content once they are there', async () => {
    await using bed = await BackupBed.create(server);
    const { database } = bed.connection;
    await bed.run('CREATE TABLE public.t (i int)');
    const role = await bed.role();
    await using bench = await Bench.create();
    await mkdir(bench.path('restore', 'incoming'), { recursive: true });
    const url = urlAs(server, role, 'pw', database);

    const poor = await doctor(bench, url);
    expect(poor.code, poor.output).toBe(1);
    expect(poor.output).toContain(`ALTER ROLE "${role}" CREATEDB;`);
    expect(poor.output).toContain(`ALTER ROLE "${role}" CREATEROLE;`);
    expect(poor.output).toContain(`GRANT pg_read_all_data TO "${role}";`);
    expect(poor.output).toContain(`GRANT "postgres" TO "${role}";`);
    expect(poor.output).toContain('3 failed, 1 warning');

    // What it has printed is what helps: the database's owner, who may create.
    await bed.admin.query(`ALTER ROLE ${role} CREATEDB CREATEROLE`);
    await bed.admin.query(`ALTER DATABASE ${database} OWNER TO ${role}`);
    await bed.admin.query(`GRANT pg_read_all_data TO ${role}`);
    const rich = await doctor(bench, url);
    expect(rich.output).not.toMatch(/^FAILED/m);
    expect(rich.code, rich.output).toBe(0);
    await bed.admin.query(`ALTER DATABASE ${database} OWNER TO postgres`);
  });

  test('a wrong password, an absent server, an absent Docker: one line each, non-zero', async () => {
    await using bed = await BackupBed.create(server);
    const { database } = bed.connection;
    await using bench = await Bench.create();
    await mkdir(bench.path('restore', 'incoming'), { recursive: true });
    const wrong = await doctor(bench, urlAs(server, 'postgres', 'wr0ng-one', database), ['--json']);
    expect(wrong.code).toBe(1);
    const results = JSON.parse(wrong.output) as {
      status: string;
      message: string;
      hint?: string;
    }[];
    const failed = results.filter(({ status }) => status === 'failed');
    expect(failed.map(({ message }) => message).join('\n')).toContain('password');
    for (const { hint } of failed) expect(hint).toBeTruthy();
    expect(wrong.output).not.toContain('wr0ng-one');

    const docker = await doctor(
      bench,
      urlAs(server, 'postgres', server.password, database),
      ['--for', 'restore'],
      { RESTORE_STOP_CONTAINERS: 'web', DOCKER_HOST: `unix://${bench.path('no.sock')}` },
    );
    expect(docker.code, docker.output).toBe(1);
    expect(docker.output).toMatch(/^FAILED .*(docker|containers)/im);
    expect(docker.output).toContain('no.sock');
  });
});
