import { createHash } from 'node:crypto';
import { parse } from 'node:path';
import type { DatabaseConfig } from './config.ts';

const LONGEST = 40;

/**
 * BACKUP_NAME where the user sets none: `app-db` for database app on host db, `app` for
 * /data/app.db. Where letters had to go, a hash keeps different databases apart.
 */
export function defaultName(database: DatabaseConfig): string {
  const exact = exactName(database);
  const fitted = shortened(exact, LONGEST);
  if (fitted === exact) return fitted;
  const hash = createHash('sha256').update(exact).digest('hex').slice(0, 6);
  const start = shortened(exact, LONGEST - hash.length - 1);
  return start === '' ? `db-${hash}` : `${start}-${hash}`;
}

function exactName(database: DatabaseConfig): string {
  if (database.kind === 'sqlite') return parse(database.path).name;
  const { host, port, database: name } = database.connection;
  const parts = [name];
  if (!host.startsWith('/')) parts.push(host);
  if (port !== 5432) parts.push(String(port));
  return parts.join('-');
}

function shortened(text: string, longest: number): string {
  return text
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/^[^a-z0-9]+/, '')
    .slice(0, longest)
    .replace(/[-._]+$/, '');
}
