import { globalsOf, withoutSecrets } from '../core/archive/globals.ts';
import type { Globals, SavedRole } from '../core/archive/manifest.ts';
import { sealText } from '../core/encryption/sealed-text.ts';
import type { Dump } from '../core/engines/engine.ts';
import { rolesScript } from '../core/engines/postgres/globals/role-statements.ts';
import { majorOf, psqlCommand } from './restore-by-hand.ts';

/** The roles of a dump as its manifest has them. */
export interface SavedGlobals {
  readonly globals: Globals;
  /** Shell command that makes those that a server lacks. */
  readonly command: string;
}

/** With recipients, nothing of the roles is in the clear: their settings may hold secrets. */
export async function saveGlobals(
  dump: Dump,
  recipients: readonly string[],
  signal: AbortSignal,
): Promise<SavedGlobals | undefined> {
  const { savedRoles: roles } = dump;
  if (!roles) return undefined;
  const globals = await globalsOf(roles, recipients, signal);
  return { globals, command: await commandFor(roles, dump, recipients, signal) };
}

async function commandFor(
  roles: readonly SavedRole[],
  { tool }: Dump,
  recipients: readonly string[],
  signal: AbortSignal,
): Promise<string> {
  const major = majorOf(tool);
  if (recipients.length === 0) {
    return psqlCommand('postgres', rolesScript(roles.map(withoutSecrets), major));
  }
  const script = rolesScript(roles, major);
  const sealed = await sealText(`${script}\n`, recipients, signal);
  return `age -d -i KEY <<'AGE' | ${psqlCommand('postgres')}\n${sealed.trimEnd()}\nAGE`;
}
