import { literal } from '../quoting.ts';

/** Settings whose stored value is a list of quoted names (GUC_LIST_QUOTE); extensions cannot add any. */
const LISTS_OF_NAMES = new Set([
  'local_preload_libraries',
  'search_path',
  'session_preload_libraries',
  'shared_preload_libraries',
  'temp_tablespaces',
  'unix_socket_directories',
]);

/**
 * A value of pg_db_role_setting as it is written after `SET name TO`. Lists of names are stored
 * quoted, and would be quoted again if they were given as one string.
 */
export function settingValue(name: string, stored: string): string {
  if (!LISTS_OF_NAMES.has(name.toLowerCase())) return literal(stored);
  const names = splitNames(stored);
  return names.length === 0 ? "''" : names.map((part) => literal(part)).join(', ');
}

/** `"$user", public` → `$user`, `public`. */
export function splitNames(list: string): string[] {
  const names: string[] = [];
  for (const match of list.matchAll(/\s*(?:"((?:[^"]|"")*)"|([^",\s][^",]*?))\s*(?:,|$)/g)) {
    const [, quoted, bare] = match;
    if (quoted !== undefined) names.push(quoted.replaceAll('""', '"'));
    else if (bare !== undefined) names.push(bare);
  }
  return names;
}
