import { DropbackError } from '../runtime/errors.ts';

/** There is no db-restore where the command runs: its container is another one, or it isn't up. */
export function noDaemon(folder: string, cause: unknown): DropbackError {
  return new DropbackError('request/no-daemon', `no db-restore here: ${folder} can't be used`, {
    hint: 'db-restore creates that folder: start it, and run this in its container (docker compose exec db-restore dropback …), or where its volume is mounted.',
    cause,
  });
}
