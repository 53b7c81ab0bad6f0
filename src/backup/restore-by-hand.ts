import type { Manifest, SavedRole } from '../core/archive/manifest.ts';
import { FIRST_MAJOR_WITH_ZSTD } from '../core/engines/postgres/backup/dump-compression.ts';
import { ident, literal } from '../core/engines/postgres/quoting.ts';

export interface HandKnowledge extends Pick<Manifest, 'archive' | 'database' | 'tool'> {
  /** Makes the roles that a server lacks, `roles`; see `saveGlobals`. */
  readonly makeRoles?: string;
  /** Sets in the new database what the roles had set in theirs. */
  readonly roleSettings?: string;
  readonly roles?: readonly SavedRole[];
}

/**
 * Shell commands of standard tools alone, to be run in this order in the folder of the archive. `NEW`
 * stands for the database or file to restore into, `DIR` for a new folder, `KEY` for the file of the
 * age identity; PostgreSQL's programs find their server by PGHOST, PGPORT and PGUSER.
 */
export function restoreByHand(known: HandKnowledge): string[] {
  const { archive } = known;
  const check = `echo '${archive.sha256}  ${archive.file}' | sha256sum -c`;
  const steps = archive.format === 'sqlite-file' ? sqliteSteps(known) : postgresSteps(known);
  return [`# needs ${needs(known).join(', ')}`, check, ...steps];
}

function needs({ archive, tool }: HandKnowledge): string[] {
  const opens = archive.encryption ? ['age'] : [];
  const unpacks = [...opens, ...(archive.compression === 'zstd' ? ['zstd'] : [])];
  if (archive.format === 'sqlite-file') return ['sha256sum', ...unpacks, 'sqlite3'];
  const major = majorOf(tool);
  // From 17 on it sets transaction_timeout first of all, which older servers refuse.
  const most = major < 17 ? ' (16 at most for a server older than 17)' : '';
  const client = `pg_restore ${major} or newer${most} with createdb, psql and vacuumdb`;
  const packed = archive.format === 'postgres-directory' ? ['tar', ...inside(major)] : [];
  return [client, `a PostgreSQL server ${major} or newer`, 'sha256sum', ...packed, ...unpacks];
}

/** pg_dump compresses the files of a directory itself, by what it was built with. */
function inside(major: number): string[] {
  return major < FIRST_MAJOR_WITH_ZSTD
    ? []
    : ['zstd built into pg_restore if the tar has .zst files'];
}

function sqliteSteps({ archive }: HandKnowledge): string[] {
  return [`${unpack(archive)} > NEW.db`, "sqlite3 NEW.db 'PRAGMA integrity_check'"];
}

function postgresSteps(known: HandKnowledge): string[] {
  const { archive, database, makeRoles, roleSettings, roles } = known;
  const owner = database.properties['owner'];
  const isKnown = roles?.some(({ name }) => name === owner);
  const encoding = database.properties['encoding'];
  const like = typeof encoding === 'string' && /^\w+$/.test(encoding) ? [encoding] : [];
  const create = ['createdb', '--template=template0', ...like.map((name) => `--encoding=${name}`)];
  const load = 'pg_restore --exit-on-error --dbname=NEW';
  return [
    ...(makeRoles === undefined ? [] : [makeRoles]),
    `${create.join(' ')} NEW`,
    archive.format === 'postgres-directory'
      ? `mkdir DIR && tar -xf ${archive.file} -C DIR && ${load} --jobs=4 DIR`
      : `${unpack(archive)} | ${load}`,
    ...(isKnown ? [giveTo(String(owner))] : []),
    ...(roleSettings === undefined ? [] : [roleSettings]),
    'vacuumdb --analyze-only --dbname=NEW',
  ];
}

export function majorOf({ version }: Manifest['tool']): number {
  return Number.parseInt(version, 10);
}

/** Nothing in a script is the shell's: not even a line that ends it too early, in somebody's name. */
export function psqlCommand(database: string, script?: string): string {
  const psql = `psql --no-psqlrc --set=ON_ERROR_STOP=1 --dbname=${database}`;
  if (script === undefined) return psql;
  let end = 'SQL';
  while (script.split('\n').includes(end)) end += '_';
  return `${psql} <<'${end}'\n${script}\n${end}`;
}

function giveTo(owner: string): string {
  const statement = `ALTER DATABASE %I OWNER TO ${ident(owner).replaceAll('%', '%%')}`;
  return psqlCommand('NEW', `SELECT format(${literal(statement)}, current_database()) \\gexec`);
}

function unpack({ compression, encryption, file }: Manifest['archive']): string {
  const decrypt = `age -d -i KEY ${file}`;
  if (encryption) return compression === 'zstd' ? `${decrypt} | zstd -d` : decrypt;
  return compression === 'zstd' ? `zstd -d < ${file}` : `cat ${file}`;
}
