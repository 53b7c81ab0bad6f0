/**
 * `node --max-old-space-size=N read-archive.ts inspect|owners FILE`: reads a foreign archive as
 * db-restore does, and prints what comes of it as JSON.
 */
import { statSync } from 'node:fs';
import { installedClients } from '../../../src/core/engines/postgres/clients.ts';
import { readToc } from '../../../src/core/engines/postgres/restore/archive-list.ts';
import { readArchiveOwnership } from '../../../src/core/engines/postgres/restore/archive-ownership.ts';
import { readContent } from '../../../src/core/engines/postgres/restore/content.ts';
import { toDropbackError } from '../../../src/core/runtime/errors.ts';

const [what, path = ''] = process.argv.slice(2);
const { signal } = new AbortController();
const contentBytes = statSync(path).size;
const drop = {
  fileName: 'hostile.dump',
  format: 'postgres-custom',
  path,
  contentBytes,
  sha256: '',
  force: false,
} as const;

async function inspect(): Promise<unknown> {
  const needs = { serverMajor: 15, trusted: false, inPlace: false, signal, progress: () => {} };
  const { tables, roles } = await readContent(drop, needs);
  return { tables: tables.length, roles: roles.length };
}

async function owners(): Promise<unknown> {
  const client = (await installedClients(signal)).findLast((one) => one.programs.pg_restore);
  if (!client) throw new Error('there is no pg_restore');
  const toc = await readToc(client, drop, { isOurs: false }, signal);
  const { statements } = await readArchiveOwnership(client, drop, toc, 15, signal);
  return { statements: statements.length };
}

const result = await (what === 'owners' ? owners() : inspect()).catch((error: unknown) => {
  const { code, message } = toDropbackError(error);
  return { code, message };
});
process.stdout.write(`${JSON.stringify(result)}\n`);
