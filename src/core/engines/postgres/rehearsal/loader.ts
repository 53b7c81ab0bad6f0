import { join } from 'node:path';
import type { UnpackedDrop } from '../../../archive/unpacked.ts';
import type { PostgresConnection } from '../../../config/config.ts';
import type { PostgresClient } from '../clients.ts';
import { createExtensions, isGiven } from '../restore/extensions.ts';
import { writeDefinitions } from '../restore/full-read.ts';
import { createLoadRole } from '../restore/load-role.ts';
import { lendPublic } from '../restore/public-schema.ts';
import type { Server } from '../restore/server.ts';
import { inspectScript } from '../script/inspection.ts';
import { CONTROL_TYPES, type Toc, type TocFilter } from '../script/toc.ts';
import { readServerInfo } from '../server-info.ts';
import type { Session } from '../session.ts';

/** Connections to elsewhere, with their passwords: a rehearsal opens none. */
const ELSEWHERE = 'USER MAPPING';

export interface ArchiveSource {
  readonly client: PostgresClient;
  readonly archive: UnpackedDrop;
  readonly toc: Toc;
  /** A folder of the rehearsal's own. */
  readonly workFolder: string;
}

/**
 * Who loads a rehearsal: functions in checks and generated columns run then, whoever brought them
 * into the database. So it is a role without rights, wherever control may make one; a control that
 * may not is no superuser itself.
 */
export async function chooseLoader(
  server: Server,
  session: Session,
  role: { readonly name: string; readonly jobs: number; readonly budgetBytes: number },
): Promise<PostgresConnection> {
  const { canCreateRoles } = await readServerInfo(session);
  if (!canCreateRoles) return server.control;
  return createLoadRole(session, { ...role, liveName: server.liveName }, server.control);
}

/** By control, in the scratch database that is still empty. Returns what is left to load. */
export async function prepareExtensions(
  inScratch: Session,
  loader: PostgresConnection,
  source: ArchiveSource,
  signal: AbortSignal,
): Promise<TocFilter> {
  const needed = await readNeeded(source, inScratch.major, signal);
  await lendPublic(inScratch, loader.user);
  await createExtensions(inScratch, needed, loader.user);
  const schemas = needed.flatMap(({ schema }) => schema ?? []).filter((name) => !isGiven(name));
  return { types: [...CONTROL_TYPES, ELSEWHERE], schemas: ['public', ...schemas] };
}

/** Without a load role, control makes its extensions in the course of the load. */
export function ownExtensions(): TocFilter {
  const types = CONTROL_TYPES.filter((type) => type !== 'EXTENSION');
  return { types: [...types, ELSEWHERE], schemas: ['public'] };
}

async function readNeeded(
  { client, archive, toc, workFolder }: ArchiveSource,
  serverMajor: number,
  signal: AbortSignal,
): Promise<{ name: string; schema: string | null }[]> {
  if (!toc.types.has('EXTENSION')) return [];
  const entries = toc.entries.filter(({ type }) => type === 'EXTENSION');
  const file = join(workFolder, 'extensions.sql');
  await writeDefinitions(client, archive, { ...toc, entries }, file, signal);
  const { extensions } = await inspectScript(file, { signal, serverMajor });
  return extensions.map(({ name, schema }) => ({ name, schema: schema ?? null }));
}
