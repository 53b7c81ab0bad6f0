import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../../src/core/runtime/clock.ts';
import { MisplacedDrops } from '../../../src/restore/drop-folder/misplaced.ts';

it('tells once of dumps in a folder of no database, again when it was emptied in between', async () => {
  const root = await mkdtemp(join(tmpdir(), 'dropback-misplaced-'));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  const watchDir = join(root, 'incoming');
  for (const name of ['shop', 'shpo', 'empty'])
    await mkdir(join(watchDir, name), { recursive: true });
  const dump = join(watchDir, 'shpo', 'app.dump');
  await writeFile(dump, 'x');
  await writeFile(join(watchDir, 'shop', 'app.dump'), 'x');
  await writeFile(join(watchDir, 'empty', 'readme.txt'), 'x');
  const lines: string[] = [];
  const log = pino({}, { write: (line: string) => lines.push(line) });
  const misplaced = new MisplacedDrops({ watchDir, names: ['shop'], clock: systemClock, log });

  await misplaced.look();
  await misplaced.look();
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    expect.objectContaining({
      folder: 'shpo',
      msg: 'ignored: dumps in a folder of no database',
      hint: expect.stringContaining(join(watchDir, 'shop')),
    }),
  ]);

  await rm(dump);
  await misplaced.look();
  await writeFile(dump, 'x');
  await misplaced.look();
  expect(lines).toHaveLength(2);
});
