/**
 * `node --max-old-space-size=N read-archive.ts inspect:FILE owners:FILE …`: reads foreign archives as
 * db-restore does, one after the other, and prints what comes of each as JSON.
 */
import { statSync } from 'node:fs';
import type { UnpackedDrop } from '../../../src/core/archive/unpacked.ts';
import { installedClients } from '../../../src/core/engines/postgres/clients.ts';
import { readToc } from '../../../src/core/engines/postgres/restore/archive-list.ts';
import { readArchiveOwnership } from '../../../src/core/engines/postgres/restore/archive-ownership.ts';
import { readContent } from '../../../src/core/engines/postgres/restore/content.ts';
import { toDropbackError } from '../../../src/core/runtime/errors.ts';

const { signal } = new AbortController();

function dropAt(path: string): UnpackedDrop {
  const contentBytes = statSync(path).size;
  const format = 'postgres-custom';
  return { fileName: 'hostile.dump', format, path, contentBytes, sha256: '', force: false };
}

async function inspect(drop: UnpackedDrop): Promise<unknown> {
  const needs = { serverMajor: 15, trusted: false, inPlace: false, signal, progress: () => {} };
  const { tables, roles } = await readContent(drop, needs);
  return { tables: tables.length, roles: roles.length };
}

async function owners(drop: UnpackedDrop): Promise<unknown> {
  const client = (await installedClients(signal)).findLast((one) => one.programs.pg_restore);
  if (!client) throw new Error('there is no pg_restore');
  const toc = await readToc(client, drop, { isOurs: false }, signal);
  const { statements } = await readArchiveOwnership(client, drop, toc, 15, signal);
  return { statements: statements.length };
}

const results: unknown[] = [];
for (const argument of process.argv.slice(2)) {
  const [what, path = ''] = argument.split(':');
  const work = what === 'owners' ? owners(dropAt(path)) : inspect(dropAt(path));
  results.push(
    await work.catch((error: unknown) => {
      const { code, message } = toDropbackError(error);
      return { code, message };
    }),
  );
}
process.stdout.write(`${JSON.stringify(results)}\n`);
