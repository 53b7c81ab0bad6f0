import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { seal } from '../../src/restore/journal/sealed.ts';
import { script, World } from '../support/restore/world.ts';
import { SteppedClock } from '../support/stepped-clock.ts';

const JOURNAL = { format: 'dropback-journal', version: 1 };
const STOPPED = { format: 'dropback-stopped', version: 1 };
const body = (id: string) => ({ record: null, last: { id } });
const owed = { restoreId: 'x', names: ['worker'], at: '2026-01-01T00:00:00Z' };

/** What a file may be found to be; undefined is missing. */
type Files = Readonly<Record<string, string | undefined>>;
const UNUSABLE: Files = {
  missing: undefined,
  empty: '',
  torn: seal(JOURNAL, 8, body('torn')).slice(0, 60),
  'a bit flipped': seal(JOURNAL, 8, body('torn')).replace('"torn"', '"tarn"'),
  foreign: '{"hello":"world"}',
  newer: seal({ ...JOURNAL, version: 2 }, 20, body('newer')),
};
const STATE: Files = { ...UNUSABLE, intact: seal(JOURNAL, 8, body('state')) };
const SECOND: Files = {
  ...UNUSABLE,
  'intact, older': seal(JOURNAL, 7, body('second')),
  'intact, newer': seal(JOURNAL, 9, body('second')),
};
const NOTE: Files = {
  missing: undefined,
  empty: '',
  torn: seal(STOPPED, 1, owed).slice(0, 60),
  foreign: '{"hello":"world"}',
  newer: seal({ ...STOPPED, version: 2 }, 1, owed),
  intact: seal(STOPPED, 1, owed),
};

/** As the design says: which journal counts (undefined: none), or that none can be relied on. */
function expectedJournal(state: string, second: string): 'blocked' | string | undefined {
  if (state === 'newer' || second === 'newer') return 'blocked';
  const secondIs = second.startsWith('intact');
  if (state === 'intact') return second === 'intact, newer' ? 'second' : 'state';
  if (secondIs) return 'second';
  const isNew = (state === 'missing' || state === 'empty') && second === 'missing';
  return isNew ? undefined : 'blocked';
}

/** `web` is down of its own, `worker` because a restore stopped it. */
function expectedRunning(note: string, isBlocked: boolean): string[] {
  if (isBlocked) return ['web', 'worker'];
  if (note === 'missing') return [];
  return note === 'intact' ? ['worker'] : ['web', 'worker'];
}

async function look(state: string, second: string, note: string): Promise<void> {
  // Where nobody knows how far a stop went, stopped.json stays until none can take effect any more.
  const world = await World.create({ clock: new SteppedClock() });
  try {
    await mkdir(world.path('work', 'x'), { recursive: true });
    const files = {
      'state.json': STATE[state],
      'state.json.1': SECOND[second],
      'stopped.json': NOTE[note],
    };
    for (const [name, text] of Object.entries(files)) {
      if (text !== undefined) await writeFile(world.path(name), text);
    }
    for (const name of ['web', 'worker']) world.runtime.set(name, 'exited');
    // Of a restore that nobody knows of: it may go only where the journal can be relied on.
    await writeFile(`${world.live}.dropback_s_0123456789abcdef`, 'staged');
    const journal = expectedJournal(state, second);
    world.start();
    const end = journal === 'blocked' ? 'blocked' : 'idle';
    await world.until(() => world.daemon.status().state === end);
    const up = () => ['web', 'worker'].filter((name) => world.runtime.get(name) === 'running');
    const expected = expectedRunning(note, journal === 'blocked');
    await world.until(() => up().join() === expected.join());
    const { problems, last } = world.daemon.status();
    const alert = problems.map(({ id }) => id).filter((id) => id === 'journal/unusable');
    const data = await readdir(`${world.root}/data`);
    expect({ alert, last: last?.id, live: await world.liveText(), data: data.length }).toEqual({
      alert: journal === 'blocked' ? ['journal/unusable'] : [],
      last: journal === 'blocked' ? undefined : journal,
      live: script('old'),
      data: journal === 'blocked' ? 2 : 1,
    });
    // Once everything that it speaks of runs, nothing is owed any more.
    const isDone = async () => !(await readdir(world.path())).includes('stopped.json');
    await world.pass(25_000);
    await world.until(isDone);
    if (journal !== 'blocked') return;
    // A person has to look first: what an earlier restore took in stays where it is.
    expect(await readdir(world.path('work'))).toEqual(['x']);
  } catch (error) {
    throw new Error(`state.json ${state}, state.json.1 ${second}, stopped.json ${note}`, {
      cause: error,
    });
  } finally {
    await world.remove();
  }
}

/** They mostly wait: several at a time. */
const AT_ONCE = 12;

const EVERY_PAIR = Object.keys(STATE).flatMap((state) =>
  Object.keys(SECOND).map((second) => [state, second] as const),
);
/** One of each end: no journal yet, one that is intact, one that can't be relied on. */
const SOME_PAIRS = EVERY_PAIR.filter(([state, second]) => second === 'missing' || state === 'torn');

test.for([
  ['missing', EVERY_PAIR],
  ['intact', EVERY_PAIR],
  ['torn', EVERY_PAIR],
  ['empty', SOME_PAIRS],
  ['foreign', SOME_PAIRS],
  ['newer', SOME_PAIRS],
] as const)(
  'stopped.json %s, beside every state of the journal and of its second generation',
  { timeout: 120_000 },
  async ([note, pairs]) => {
    const left = [...pairs];
    const work = async () => {
      for (let pair = left.pop(); pair; pair = left.pop()) await look(...pair, note);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    expect(left).toEqual([]);
  },
);
