import type { Manifest } from '../../../archive/manifest.ts';
import { ident } from '../quoting.ts';
import { settingValue } from '../restore/setting-value.ts';
import type { Session } from '../session.ts';

const SETTING = 'setting:';

/**
 * A restore leaves owner and settings as the database here has them. Where it was made anew, that isn't
 * what the backup's had: a line each, with the statement that makes it so.
 */
export async function databaseDifferences(
  session: Session,
  liveName: string,
  { database: { properties } }: Manifest,
): Promise<string[]> {
  const [live] = await session.query<{ owner: string; settings: readonly string[] | null }>(
    `SELECT pg_get_userbyid(d.datdba) AS owner,
            (SELECT setconfig FROM pg_db_role_setting WHERE setdatabase = d.oid AND setrole = 0) AS settings
       FROM pg_database d WHERE d.datname = $1`,
    [liveName],
  );
  if (!live) return [];
  const alter = `ALTER DATABASE ${ident(liveName)}`;
  const { owner } = properties;
  const statements = Object.entries(properties).flatMap(([key, value]) => {
    const name = key.startsWith(SETTING) ? key.slice(SETTING.length) : undefined;
    if (name === undefined || typeof value !== 'string') return [];
    if (live.settings?.includes(`${name}=${value}`)) return [];
    return [`${alter} SET ${ident(name)} TO ${settingValue(name, value)};`];
  });
  if (typeof owner === 'string' && owner !== live.owner) {
    statements.unshift(`${alter} OWNER TO ${ident(owner)};`);
  }
  return statements.map((statement) => `was so in the backup, and isn't here: ${statement}`);
}
