import { globalsOf, withoutSecrets } from '../core/archive/globals.ts';
import type { Globals } from '../core/archive/manifest.ts';
import { sealText } from '../core/encryption/sealed-text.ts';
import type { Dump } from '../core/engines/engine.ts';
import { rolesScript, settingsScript } from '../core/engines/postgres/globals/role-statements.ts';
import { majorOf, psqlCommand } from './restore-by-hand.ts';

/** The roles of a dump as its manifest has them. */
export interface SavedGlobals {
  readonly globals: Globals;
  /** Shell command that makes those that a server lacks. */
  readonly command: string;
  /** Shell command that sets in `NEW` what they had set in the database; missing: nothing. */
  readonly settingsCommand?: string;
}

/** With recipients, nothing of the roles is in the clear: their settings may hold secrets. */
export async function saveGlobals(
  dump: Dump,
  recipients: readonly string[],
  signal: AbortSignal,
): Promise<SavedGlobals | undefined> {
  const { savedRoles, tool } = dump;
  if (!savedRoles) return undefined;
  const globals = await globalsOf(savedRoles, recipients, signal);
  const roles = recipients.length === 0 ? savedRoles.map(withoutSecrets) : savedRoles;
  const make = rolesScript(roles, majorOf(tool));
  const set = settingsScript(roles);
  return {
    globals,
    command: await commandFor('postgres', make, recipients, signal),
    ...(set === undefined
      ? {}
      : { settingsCommand: await commandFor('NEW', set, recipients, signal) }),
  };
}

async function commandFor(
  database: string,
  script: string,
  recipients: readonly string[],
  signal: AbortSignal,
): Promise<string> {
  if (recipients.length === 0) return psqlCommand(database, script);
  const sealed = await sealText(`${script}\n`, recipients, signal);
  return `age -d -i KEY <<'AGE' | ${psqlCommand(database)}\n${sealed.trimEnd()}\nAGE`;
}
