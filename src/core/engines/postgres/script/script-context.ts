import type { ScriptEncoding } from './encoding.ts';
import type { OwnershipContext } from './ownership.ts';
import { readRole } from './privileges.ts';
import type { QualifiedName, StatementReader } from './reader.ts';
import { readSetting } from './setting.ts';

/** What the SET statements of a script, so far, mean for the names that follow. */
export class ScriptContext {
  /** First schema of a search_path (dumps of pg_dump before 10.3); undefined where it is empty. */
  defaultSchema: string | undefined;
  /** Set by SET SESSION AUTHORIZATION; grants that follow were made by that role. */
  sessionRole: string | undefined;

  ownership(encoding: ScriptEncoding): OwnershipContext {
    return {
      decode: encoding.decode,
      defaultSchema: this.defaultSchema,
      grantor: this.sessionRole,
    };
  }

  /** The schema that a name stands in; `public` where the script leaves it to the server. */
  qualify(name: QualifiedName): { schema: string; name: string } {
    return { schema: name.schema ?? this.defaultSchema ?? 'public', name: name.name };
  }

  /**
   * Takes in a SET or RESET. `role` = it changes who runs the script (the name is undefined where
   * it is reset); `setting` = anything else that SET sets.
   */
  notice(reader: StatementReader): { role: true } | { setting: string; value: string } | undefined {
    const start = reader.position;
    const role = this.#readIdentity(reader);
    if (role) return role;
    reader.rewind(start);
    const setting = readSetting(reader);
    if (!setting) return undefined;
    const value = setting.values[0] ?? '';
    if (setting.name === 'search_path') {
      this.defaultSchema = value === '' || value === 'pg_catalog' ? undefined : value;
    }
    return { setting: setting.name, value };
  }

  #readIdentity(reader: StatementReader): { role: true } | undefined {
    if (reader.words('reset', 'session', 'authorization') || reader.words('reset', 'role')) {
      this.sessionRole = undefined;
      return { role: true };
    }
    if (!reader.words('set')) return undefined;
    if (!reader.words('local') && reader.peek(1)?.text !== 'authorization') reader.words('session');
    if (!reader.words('session', 'authorization') && !reader.words('role')) return undefined;
    const isReset = reader.words('default') || reader.words('none');
    const role = isReset ? undefined : (reader.literal() ?? readRole(reader));
    this.sessionRole = role;
    return { role: true };
  }
}
