import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { Writable } from 'node:stream';
import type { UnpackedDrop } from '../../../archive/unpacked.ts';
import type { PostgresClient } from '../clients.ts';
import type { OwnershipStatement } from '../script/ownership.ts';
import { rewriteScript } from '../script/rewrite.ts';
import type { Toc } from '../script/toc.ts';
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
    const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
    const input = createReadStream(file, { signal }) as AsyncIterable<Buffer>;
    const result = await rewriteScript(input, nowhere, { signal, serverMajor });
    const warnings = result.unparsed.map(({ text }) => `not understood and left out: ${text}`);
    return { statements: result.ownership, warnings };
  } finally {
    await rm(file, { force: true });
  }
}
