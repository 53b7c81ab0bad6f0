import { describe, expect, test } from 'vitest';
import type { ArchiveFormat } from '../../src/core/archive/format.ts';
import { servers } from '../support/testbed.ts';
import { RestoreBed } from './postgres-restore-bed.ts';

const formats: readonly ArchiveFormat[] = [
  'postgres-custom',
  'postgres-directory',
  'postgres-plain',
];

describe.each(servers)('restoring into PostgreSQL $major', (server) => {
  test.each(formats)('a foreign %s brings schema, rows, owners and grants', async (format) => {
    await using bed = await RestoreBed.create(server);
    const source = await bed.database(`test_source_${bed.id}`);
    await bed.fill(source);
    const drop = await bed.dump(format, source);

    const { check, swap } = await bed.restore(bed.engine(), drop);

    const [wanted, found] = [await bed.picture(source), await bed.picture(bed.live)];
    expect(withoutPublications(found.schema)).toBe(withoutPublications(wanted.schema));
    expect(found.data).toEqual(wanted.data);
    expect(check.tables.find((table) => table.name === 'customer')?.rows).toBe(500);
    expect(check.tables.find((table) => table.name === 'tenant_data')?.rows).toBe(90);
    expect(swap.previous?.name).toMatch(/^dropback_p_[0-9a-f]{16}$/);
    expect(await bed.leftovers()).toEqual([]);
  });
});

/** A foreign file's publications are left out and told. */
function withoutPublications(schema: string): string {
  return schema.replace(/^(CREATE|ALTER) PUBLICATION [^;]*;\n/gm, '');
}
