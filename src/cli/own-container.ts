import type { CliConfig } from '../core/config/cli.ts';
import { DropbackError } from '../core/runtime/errors.ts';
import type { CliContext } from './context.ts';

/** By its name, or short. */
export const DAEMONS = ['db-backup', 'db-restore', 'backup', 'restore'] as const;
export type DaemonChoice = (typeof DAEMONS)[number];

/** The one that `--for` names, else the one whose container this is, if anybody's. */
export function chosenDaemon(
  options: { readonly for?: DaemonChoice },
  config: CliConfig,
): 'db-backup' | 'db-restore' | undefined {
  if (!options.for) return config.daemon();
  return options.for.endsWith('backup') ? 'db-backup' : 'db-restore';
}

/** db-restore's container has neither the settings of backups nor the right to write to them. */
export function requireBackupContainer(command: string, { config }: CliContext): void {
  if (config.daemon() !== 'db-restore') return;
  throw new DropbackError('request/other-container', `this is the container of db-restore`, {
    hint: `run it in the container of db-backup: docker compose exec db-backup dropback ${command}`,
  });
}
