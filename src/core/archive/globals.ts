import type { AgeIdentity } from '../encryption/identity.ts';
import { openSealedText, sealText } from '../encryption/sealed-text.ts';
import { DropbackError } from '../runtime/errors.ts';
import type { Globals, SavedRole, SavedSetting } from './manifest.ts';
import { savedRolesSchema } from './manifest-schema.ts';

/** What a manifest says of the roles: encrypted wherever the archive is. */
export async function globalsOf(
  roles: readonly SavedRole[],
  recipients: readonly string[],
  signal: AbortSignal,
): Promise<Globals> {
  if (recipients.length === 0) return { roles: roles.map(withoutSecrets) };
  return { encrypted: await sealText(JSON.stringify(roles), recipients, signal) };
}

/** Passwords, and settings of an application's own, which may be secrets, aren't stored in the clear. */
export function withoutSecrets({ password: _, databaseSettings, ...role }: SavedRole): SavedRole {
  const inDatabase = databaseSettings?.filter(isNoSecret) ?? [];
  return {
    ...role,
    settings: role.settings.filter(isNoSecret),
    ...(inDatabase.length === 0 ? {} : { databaseSettings: inDatabase }),
  };
}

function isNoSecret({ name }: SavedSetting): boolean {
  return !name.includes('.');
}

/** Throws `drop/no-identity` where they are encrypted and nothing here opens them. */
export async function rolesOf(
  globals: Globals,
  identity: AgeIdentity | undefined,
  workFolder: string,
  signal: AbortSignal,
): Promise<readonly SavedRole[]> {
  if ('roles' in globals) return globals.roles;
  if (!identity) {
    throw new DropbackError('drop/no-identity', 'the roles of the backup are encrypted', {
      hint: 'set RESTORE_AGE_IDENTITY of db-restore to the file of the key.',
    });
  }
  const text = await openSealedText(globals.encrypted, identity, workFolder, signal);
  return savedRolesSchema.parse(JSON.parse(text));
}
