import { expect, it } from 'vitest';
import { restoreByHand } from '../../src/backup/restore-by-hand.ts';

function firstLine(version: string): string | undefined {
  return restoreByHand({
    archive: {
      file: 'app.dump.zst',
      format: 'postgres-custom',
      compression: 'zstd',
      bytes: 1,
      sha256: '0'.repeat(64),
      contentBytes: 1,
    },
    database: { name: 'app', version, sizeBytes: 1, properties: {}, notValid: [] },
    tool: { name: 'pg_dump', version },
  })[0];
}

it('says which pg_restore an older server takes', () => {
  expect(firstLine('15.18')).toContain(
    'pg_restore 15 or newer (16 at most for a server older than 17) with createdb',
  );
  expect(firstLine('18.6')).toContain('pg_restore 18 or newer with createdb');
});
