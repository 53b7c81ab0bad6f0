import { backupGroup, oneCoreGroup } from './groups/backup.ts';
import { daemonsGroup } from './groups/daemons.ts';
import { encryptedGroup } from './groups/encrypted.ts';
import { neighboursGroup } from './groups/neighbours.ts';
import { restoreGroup } from './groups/restore.ts';
import { shapesGroup } from './groups/shapes.ts';
import { sqliteGroup } from './groups/sqlite.ts';
import { uploadGroup } from './groups/upload.ts';
import type { Lab } from './lab.ts';
import { busyCores, describeMachine } from './machine.ts';
import type { Group } from './options.ts';
import { saveResults } from './results.ts';
import type { Series } from './series.ts';

const MEASURES: Readonly<Record<Group, (lab: Lab) => Promise<Series[]>>> = {
  backup: backupGroup,
  'one-core': oneCoreGroup,
  encrypted: encryptedGroup,
  upload: uploadGroup,
  restore: restoreGroup,
  sqlite: sqliteGroup,
  daemons: daemonsGroup,
  shapes: shapesGroup,
  neighbours: neighboursGroup,
};

/** Each group's figures are kept as soon as they are there: a run may be broken off. */
export async function measure(lab: Lab): Promise<void> {
  const { options } = lab;
  const loadBefore = await busyCores();
  const measuredAt = new Date().toISOString();
  for (const group of options.only) {
    lab.say(`${group}:`);
    const series = await MEASURES[group](lab);
    const postgres = lab.facts && (await (await lab.server()).sql('SHOW server_version'));
    const machine = { ...describeMachine(lab.folder, postgres), loadBefore };
    await saveResults(options.out, {
      size: options.size,
      measuredAt,
      jobs: options.jobs,
      machine,
      ...(lab.facts ? { database: lab.facts } : {}),
      series,
      leftOut: lab.leftOut,
    });
  }
}
