import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { PostgresSite } from '../../support/crash/postgres-site.ts';
import { endAtEveryPoint, seedOfThisRun } from '../../support/crash/sweep.ts';
import { CrashWorld } from '../../support/crash/world.ts';
import { PrivatePostgres } from '../../support/private-postgres.ts';
import { testbed } from '../../support/testbed.ts';

const like = testbed.postgres15;

test.skipIf(!like || !existsSync(join(like.binDir, 'initdb')))(
  'the database server crashes with the daemon, and Docker is away: all comes in order once they are back',
  { timeout: 600_000 },
  async () => {
    if (!like) return;
    await using postgres = await PrivatePostgres.create(like);
    await using world = await CrashWorld.create(
      await PostgresSite.create(postgres.server, { isPrivate: true }),
    );
    const ended = await endAtEveryPoint([world], {
      thin: 2,
      seed: seedOfThisRun(),
      only: /COMMIT$|RENAME|CREATE DATABASE|docker: (stop worker|start worker) done/,
      nth: 3,
      between: async () => {
        await postgres.crash();
        await world.containers.down();
        // It begins while neither is there, and must not give anything up for that.
        await world.daemon.says(/"db-restore started"/, 120_000);
        await sleep(500);
        await postgres.start();
        await world.containers.up();
      },
    });
    expect(ended.length).toBeGreaterThan(1);
  },
);
