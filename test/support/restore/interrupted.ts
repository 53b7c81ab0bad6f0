import { link, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { JobRecord, StepName } from '../../../src/restore/journal/record.ts';
import { seal } from '../../../src/restore/journal/sealed.ts';
import { script, type World } from './world.ts';

const ID = '0123456789abcdef';
/** A generation that none of the world's own daemons has come to. */
const NEWEST = 1_000_000;

/** `isSwapped`: what the database says, whether or not it came into the journal. */
export interface Interrupted {
  readonly step: StepName;
  readonly isSwapped?: boolean;
  readonly change?: Partial<JobRecord>;
}

/**
 * Leaves the folders of a world as a daemon does that is killed in a restore of `app.sql`, with both
 * containers down. `stopped.json` is written too.
 */
export async function interrupt(world: World, how: Interrupted): Promise<void> {
  const { step, isSwapped = false, change } = how;
  const staging = `${world.live}.dropback_s_${ID}`;
  await writeFile(staging, script('fresh'));
  const old = String((await stat(world.live)).ino);
  const staged = String((await stat(staging)).ino);
  if (isSwapped) {
    await link(world.live, `${world.live}.dropback_p_${ID}`);
    await rename(staging, world.live);
  }
  const id = '20260101T000000Z-1f2e3d4c';
  await world.drop('drop', script('fresh'), world.path('work', id));
  const record: JobRecord = {
    job: {
      id,
      kind: 'restore',
      source: { kind: 'drop', mode: 'restore' },
      name: 'app.sql',
      rawName: Buffer.from('app.sql').toString('base64'),
      force: false,
      target: { kind: 'live' },
      startedAt: '2026-01-01T00:00:00Z',
    },
    attempt: 1,
    step,
    phase: 'intent',
    state: { engine: 'sqlite', id: ID, side: '', old, staged },
    swapped: false,
    steps: [],
    warnings: [],
    stopped: ['web', 'worker'],
    stoppedAt: '2026-01-01T00:00:01Z',
    ...change,
  };
  await journal(world, record);
  await note(world, ['web', 'worker']);
  for (const name of ['web', 'worker']) world.runtime.set(name, 'exited');
}

/** What the journal says is in hand. */
export async function journal(world: World, record: JobRecord | null): Promise<void> {
  const text = seal({ format: 'dropback-journal', version: 1 }, NEWEST, { record, last: null });
  await writeFile(world.path('state.json'), text);
}

/** What a restore stopped, as it notes it; or any other content of that file. */
export async function note(world: World, names: readonly string[] | string): Promise<void> {
  const kind = { format: 'dropback-stopped', version: 1 };
  const body = { restoreId: 'x', names, at: '2026-01-01T00:00:00Z' };
  const text = typeof names === 'string' ? names : seal(kind, 1, body);
  await writeFile(join(world.path(), 'stopped.json'), text);
}
