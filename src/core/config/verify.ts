import type { DatabaseConfig, VerifyConfig } from './config.ts';
import { readVerifyConnection } from './database.ts';
import type { Environment } from './environment.ts';
import { read } from './reader.ts';
import { readCron } from './schedule.ts';
import { choice } from './values.ts';

/** BACKUP_VERIFY and what belongs to it. */
export function readVerify(
  environment: Environment,
  database: DatabaseConfig | undefined,
): VerifyConfig {
  const mode = read(environment, 'BACKUP_VERIFY', choice('archive', 'restore'));
  const connection = readVerifyConnection(environment, database);
  const expression = environment.get('BACKUP_VERIFY_CRON')?.trim();
  if (expression && mode === 'archive') {
    environment.problem(
      'BACKUP_VERIFY_CRON',
      'has no effect without BACKUP_VERIFY=restore',
      'set BACKUP_VERIFY=restore, or remove it.',
    );
  }
  const queries = splitQueries(environment.get('BACKUP_VERIFY_SQL') ?? '');
  return {
    mode,
    ...(connection ? { connection } : {}),
    ...(expression ? { schedule: readCron(environment, 'BACKUP_VERIFY_CRON', expression) } : {}),
    queries,
  };
}

/** Strings, quoted names, dollar quotes and comments go as a whole: a semicolon in them ends nothing. */
const PIECES =
  /'(?:[^']|'')*'|"(?:[^"]|"")*"|(\$(?:[A-Za-z_]\w*)?\$)[\s\S]*?\1|--[^\n]*|\/\*[\s\S]*?\*\/|[^'"$;/-]+|[\s\S]/g;

/** The queries of a text, split at semicolons; comments alone are none. */
export function splitQueries(text: string): string[] {
  const queries: string[] = [];
  let query = '';
  let hasSubstance = false;
  const end = () => {
    if (hasSubstance) queries.push(query.trim());
    query = '';
    hasSubstance = false;
  };
  for (const [piece] of text.matchAll(PIECES)) {
    if (piece === ';') {
      end();
      continue;
    }
    query += piece;
    hasSubstance ||= !/^(\s*|--.*|\/\*[\s\S]*)$/.test(piece);
  }
  end();
  return queries;
}
