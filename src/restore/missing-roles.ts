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

/** Throws `request/no-globals` where roles are asked for and what is restored holds none. */
export function requireGlobals(
  job: Job,
  { engine }: Pick<MachineParts, 'engine'>,
  manifest: Manifest | undefined,
): void {
  if (!job.description.globals || (engine.createRoles && manifest?.globals)) return;
  const what = manifest ? `the backup ${manifest.id} holds no roles` : 'the file is not our backup';
  throw new DropbackError('request/no-globals', `${what}: there are none to be made`, {
    hint: 'leave --globals out; roles of a PostgreSQL server are saved with our own backups of it.',
  });
}

/**
 * With --globals: makes the backup's roles that the server lacks; true where there were any. Without
 * it, whoever restores where roles are missing is told how to have them made.
 */
export async function makeMissingRoles(
  job: Job,
  parts: Pick<MachineParts, 'engine' | 'identity'>,
  { manifest, inspection }: RolesQuestion,
  signal: AbortSignal,
): Promise<boolean> {
  if (!manifest?.globals) return false;
  if (!job.description.globals) {
    const { missing } = inspection.roles;
    if (missing.length > 0) job.warn(hint(missing, manifest.id));
    return false;
  }
  const saved = await rolesOf(manifest.globals, parts.identity, job.workFolder, signal);
  const made = await parts.engine.createRoles?.(saved, manifest, job.context(signal));
  if (!made) return false;
  job.warn(...made.notes);
  return made.created.length > 0;
}

function hint(missing: readonly string[], id: string): string {
  const names = missing.join(', ');
  return `roles of the backup are missing here: ${names}; \`dropback restore ${id} --globals\` makes them first`;
}
