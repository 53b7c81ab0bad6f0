import type { Manifest } from '../core/archive/manifest.ts';

type Known = Pick<Manifest, 'archive' | 'database' | 'tool'>;

/**
 * Shell commands of standard tools alone, each a line of its own, to be run in this order in the
 * folder of the archive. `NEW` stands for the database or file to restore into, `DIR` for a new
 * folder, `KEY` for the file of the age identity; PostgreSQL's programs find their server by PGHOST, PGPORT and PGUSER.
 */
export function restoreByHand(known: Known): string[] {
  const { archive } = known;
  const check = `echo '${archive.sha256}  ${archive.file}' | sha256sum -c`;
  const steps = archive.format === 'sqlite-file' ? sqliteSteps(known) : postgresSteps(known);
  return [`# needs ${needs(known).join(', ')}`, check, ...steps];
}

function needs({ archive, tool }: Known): string[] {
  const opens = archive.encryption ? ['age'] : [];
  const unpacks = [...opens, ...(archive.compression === 'zstd' ? ['zstd'] : [])];
  if (archive.format === 'sqlite-file') return ['sha256sum', ...unpacks, 'sqlite3'];
  const major = Number.parseInt(tool.version, 10);
  const client = `pg_restore ${major} or newer with createdb, psql and vacuumdb`;
  const packed = archive.format === 'postgres-directory' ? ['tar'] : [];
  return [client, `a PostgreSQL server ${major} or newer`, 'sha256sum', ...packed, ...unpacks];
}

function sqliteSteps({ archive }: Known): string[] {
  return [`${unpack(archive)} > NEW.db`, "sqlite3 NEW.db 'PRAGMA integrity_check'"];
}

function postgresSteps({ archive, database }: Known): string[] {
  const encoding = database.properties['encoding'];
  const like = typeof encoding === 'string' && /^\w+$/.test(encoding) ? [encoding] : [];
  const create = ['createdb', '--template=template0', ...like.map((name) => `--encoding=${name}`)];
  const load = 'pg_restore --exit-on-error --dbname=NEW';
  return [
    `${create.join(' ')} NEW`,
    archive.format === 'postgres-directory'
      ? `mkdir DIR && tar -xf ${archive.file} -C DIR && ${load} --jobs=4 DIR`
      : `${unpack(archive)} | ${load}`,
    'vacuumdb --analyze-only --dbname=NEW',
  ];
}

function unpack({ compression, encryption, file }: Manifest['archive']): string {
  const decrypt = `age -d -i KEY ${file}`;
  if (encryption) return compression === 'zstd' ? `${decrypt} | zstd -d` : decrypt;
  return compression === 'zstd' ? `zstd -d < ${file}` : `cat ${file}`;
}
