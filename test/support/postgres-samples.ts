import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { RestoreBed } from '../integration/postgres-restore-bed.ts';
import { samplePath } from './samples.ts';

export type Sample = 'rich' | 'pagila';

const pagila = samplePath('pagila.sql');

/** The rich database is our own; the other one is there where somebody has put it. */
export const hasPagila = pagila !== undefined;

/** A database with a sample as psql makes it, and the script that holds it. */
export async function sampleDatabase(
  bed: RestoreBed,
  sample: Sample,
): Promise<{ readonly database: string; readonly script: string }> {
  const database = await bed.database(`test_source_${bed.id}`);
  const script = join(bed.folder, `${sample}.sql`);
  if (sample === 'rich') {
    await bed.fill(database);
    await bed.tool('pg_dump', ['-f', script], database);
  } else {
    await copyFile(pagila ?? '', script);
    // It names no owners: what it makes belongs to the owner of the database, as in the live one.
    const role = `SET ROLE ${bed.owner}`;
    await bed.tool('psql', ['-Xq', '-v', 'ON_ERROR_STOP=1', '-c', role, '-f', script], database);
  }
  return { database, script };
}

type Picture = Awaited<ReturnType<RestoreBed['picture']>>;

/** Schema by `pg_dump -s`, rows by sorted COPY output. A foreign file's publications are left out. */
export function expectEqual(found: Picture, wanted: Picture, whole: 'own' | 'foreign'): void {
  const schema = (picture: Picture) =>
    whole === 'own' ? picture.schema : withoutPublications(picture.schema);
  expect(schema(found)).toBe(schema(wanted));
  expect(found.data).toEqual(wanted.data);
}

function withoutPublications(schema: string): string {
  return schema.replace(/^(CREATE|ALTER) PUBLICATION [^;]*;\n/gm, '');
}
