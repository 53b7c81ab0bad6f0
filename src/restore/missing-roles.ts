import { rolesOf } from '../core/archive/globals.ts';
import type { Manifest } from '../core/archive/manifest.ts';
import type { Inspection } from '../core/engines/engine.ts';
import { DropbackError } from '../core/runtime/errors.ts';
import type { Job } from './job.ts';
import type { MachineParts } from './parts.ts';

export interface RolesQuestion {
  readonly manifest: Manifest | undefined;
  readonly inspection: Inspection;
}

/**
 * With --globals: makes the backup's roles that the server lacks; true where there were any. Without
 * it, whoever restores where roles are missing is told how to have them made. Throws
 * `request/no-globals` where what is restored holds none.
 */
export async function makeMissingRoles(
  job: Job,
  parts: Pick<MachineParts, 'engine' | 'identity'>,
  { manifest, inspection }: RolesQuestion,
  signal: AbortSignal,
): Promise<boolean> {
  if (!job.description.globals) {
    const { missing } = inspection.roles;
    if (manifest?.globals && missing.length > 0) job.warn(hint(missing, manifest.id));
    return false;
  }
  if (!parts.engine.createRoles || !manifest?.globals) throw noGlobals(manifest);
  const saved = await rolesOf(manifest.globals, parts.identity, job.workFolder, signal);
  const { created, notes } = await parts.engine.createRoles(saved, job.context(signal));
  job.warn(...notes);
  return created.length > 0;
}

function hint(missing: readonly string[], id: string): string {
  const names = missing.join(', ');
  return `roles of the backup are missing here: ${names}; \`dropback restore ${id} --globals\` makes them first`;
}

function noGlobals(manifest: Manifest | undefined): DropbackError {
  const what = manifest ? `the backup ${manifest.id} holds no roles` : 'the file is not ours';
  return new DropbackError('request/no-globals', `${what}: there are none to be made`, {
    hint: 'leave --globals out; roles of a PostgreSQL server are saved with our own backups of it.',
  });
}
