import { expect, it } from 'vitest';
import { restoreByHand } from '../../../src/backup/restore-by-hand.ts';

const STREAM = { file: 'app.dump.zst', format: 'postgres-custom', compression: 'zstd' } as const;
const TAR = { file: 'app.tar', format: 'postgres-directory', compression: 'none' } as const;

function firstLine(version: string, form: typeof STREAM | typeof TAR = STREAM): string | undefined {
  return restoreByHand({
    archive: {
      ...form,
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

it('says what a pg_restore must have been built with, where its client compresses by zstd', () => {
  expect(firstLine('18.6', TAR)).toContain(
    'tar, zstd built into pg_restore if the tar has .zst files',
  );
  expect(firstLine('15.18', TAR)).not.toContain('zstd');
  expect(firstLine('18.6')).toMatch(/, zstd$/);
});
