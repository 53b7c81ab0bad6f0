import { DropbackError } from '../core/runtime/errors.ts';
import type { CliContext } from './context.ts';

/** db-restore's container has neither the settings of backups nor the right to write to them. */
export function requireBackupContainer(command: string, { config }: CliContext): void {
  if (config.daemon() !== 'db-restore') return;
  throw new DropbackError('request/other-container', `this is the container of db-restore`, {
    hint: `run it in the container of db-backup: docker compose exec db-backup dropback ${command}`,
  });
}
