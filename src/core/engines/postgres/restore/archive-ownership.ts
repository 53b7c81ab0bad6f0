import { rm } from 'node:fs/promises';
import type { UnpackedDrop } from '../../../archive/unpacked.ts';
import type { PostgresClient } from '../clients.ts';
import type { OwnershipStatement } from '../script/ownership.ts';
import type { Toc } from '../script/toc.ts';
import { rewriteDefinitions } from './definitions.ts';
import { writeDefinitions } from './full-read.ts';

export interface ArchiveOwnership {
  readonly statements: readonly OwnershipStatement[];
  readonly warnings: readonly string[];
}

/** Owners and grants of an archive, parsed from its definitions as a script; the script runs nowhere. */
export async function readArchiveOwnership(
  client: PostgresClient,
  drop: UnpackedDrop,
  toc: Toc,
  serverMajor: number,
  signal: AbortSignal,
): Promise<ArchiveOwnership> {
  const file = `${drop.path}.owners.sql`;
  try {
    await writeDefinitions(client, drop, toc, file, signal);
    const result = await rewriteDefinitions(file, serverMajor, signal);
    const warnings = result.unparsed.map(({ text }) => `not understood and left out: ${text}`);
    return { statements: result.ownership, warnings };
  } finally {
    await rm(file, { force: true });
  }
}
