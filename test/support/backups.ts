import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { formatArchiveId } from '../../src/core/archive/archive-name.ts';
import type { Manifest } from '../../src/core/archive/manifest.ts';
import type { LocalStore } from '../../src/core/stores/local/store.ts';
import type { Store } from '../../src/core/stores/store.ts';

export interface SampleBackup {
  readonly manifest: Manifest;
  readonly content: Buffer;
  readonly path: string;
}

export interface SampleOptions {
  readonly name?: string;
  readonly at?: Date;
  readonly bytes?: number;
  readonly origin?: string;
}

/** A manifest that fits `content`. */
export function sampleManifest(content: Uint8Array, options: SampleOptions = {}): Manifest {
  const name = options.name ?? 'app';
  const at = options.at ?? new Date('2026-11-22T19:15:00Z');
  const id = formatArchiveId(name, at);
  return {
    format: 'dropback-manifest',
    version: 1,
    id,
    name,
    ...(options.origin === undefined ? {} : { origin: options.origin }),
    engine: 'postgres',
    createdAt: at.toISOString(),
    finishedAt: new Date(at.getTime() + 4000).toISOString(),
    archive: {
      file: `${id}.dump.zst`,
      format: 'postgres-custom',
      compression: 'zstd',
      bytes: content.length,
      sha256: createHash('sha256').update(content).digest('hex'),
      contentBytes: content.length * 3,
    },
    database: {
      name: 'shöp "1"',
      version: '18.6',
      sizeBytes: 8_000_000,
      properties: { encoding: 'UTF8', collation: null, checksums: true, limit: -1 },
      notValid: ['public.orders.orders_customer_fk'],
    },
    tool: { name: 'pg_dump', version: '18.6' },
    dropback: '0.1.0',
    tables: [
      { schema: 'public', name: 'customer', rows: 599 },
      { schema: 'public', name: 'naïve "table"\n', rows: 0 },
    ],
    rowCounts: 'exact',
    roles: ['app', 'reader'],
    extensions: ['pg_trgm'],
    excludedTableData: [],
    warnings: [],
    restoreByHand: ['zstd -dc FILE | pg_restore -d app'],
  };
}

/** Random bytes in a file, and a manifest that fits. */
export async function sampleBackup(
  path: string,
  options: SampleOptions = {},
): Promise<SampleBackup> {
  const content = randomBytes(options.bytes ?? 100_000);
  await writeFile(path, content, { mode: 0o600 });
  return { manifest: sampleManifest(content, options), content, path };
}

/** For what only knows the seam: a second folder stands for the remote store. */
export function asRemote(store: LocalStore): Store {
  return Object.defineProperty(store, 'kind', { value: 's3' }) as unknown as Store;
}
