import type { Manifest } from '../core/archive/manifest.ts';

const LOOKED_AT = 10;
/** With fewer there is no usual size. */
const FEWEST = 3;

export interface SizeDrop {
  readonly bytes: number;
  /** Of the backups before it. */
  readonly median: number;
}

/**
 * A backup of less than half the median of the last ten: rows that went away unnoticed, or a
 * configuration that leaves out too much. Only backups of the same form are compared.
 */
export function sizeDrop(newest: Manifest, earlier: readonly Manifest[]): SizeDrop | undefined {
  const { format, compression, bytes } = newest.archive;
  const sizes = earlier
    .filter(({ id, archive }) => id < newest.id && archive.format === format)
    .filter(({ archive }) => archive.compression === compression)
    .sort((a, b) => (a.id < b.id ? -1 : 1))
    .slice(-LOOKED_AT)
    .map(({ archive }) => archive.bytes)
    .sort((a, b) => a - b);
  if (sizes.length < FEWEST) return undefined;
  const middle = Math.floor(sizes.length / 2);
  const upper = sizes[middle] ?? 0;
  const median = sizes.length % 2 === 1 ? upper : ((sizes[middle - 1] ?? 0) + upper) / 2;
  return bytes * 2 < median ? { bytes, median } : undefined;
}
