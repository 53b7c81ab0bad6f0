import { rolesOf } from '../core/archive/globals.ts';
import type { Manifest } from '../core/archive/manifest.ts';
import type { Inspection } from '../core/engines/engine.ts';
import { DropbackError } from '../core/runtime/errors.ts';
import type { Job } from './job.ts';
import type { MachineParts } from './parts.ts';

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

/** With --globals: makes the backup's roles that the server lacks, and no other. */
export async function makeMissingRoles(
  job: Job,
  { engine, identity }: Pick<MachineParts, 'engine' | 'identity'>,
  manifest: Manifest | undefined,
  signal: AbortSignal,
): Promise<void> {
  if (!manifest?.globals || !job.description.globals) return;
  const { target } = job.description;
  const saved = await rolesOf(manifest.globals, identity, job.workFolder, signal);
  const made = await engine.createRoles?.(saved, manifest, target, job.context(signal));
  if (made) job.warn(...made.notes);
}

/** Without --globals: whoever restores where roles are missing is told how to have them made. */
export function tellOfMissingRoles(
  job: Job,
  manifest: Manifest | undefined,
  { roles: { missing } }: Inspection,
): void {
  if (!manifest?.globals || job.description.globals || missing.length === 0) return;
  job.warn(hint(missing, manifest.id));
}

function hint(missing: readonly string[], id: string): string {
  const names = missing.join(', ');
  return `roles of the backup are missing here: ${names}; \`dropback restore ${id} --globals\` makes them first`;
}
