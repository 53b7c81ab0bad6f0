import { createRequire } from 'node:module';
import { messageOf } from '../runtime/errors.ts';
import { backupName } from './common.ts';
import type { Environment, RawEnvironment } from './environment.ts';
import { nearestFirst } from './nearest.ts';
import { variables } from './variables.ts';

/** One database of DATABASES_FILE: the environment with the entry laid over it. */
export interface DatabaseEntry {
  readonly name: string;
  readonly raw: RawEnvironment;
  /** Variables that the entry itself sets. */
  readonly own: ReadonlySet<string>;
}

/** Room for thousands of entries, in bytes. */
const LARGEST_FILE = 4 * 1024 ** 2;

const FILE = 'DATABASES_FILE';

/** With their _FILE forms. */
const bothForms = (name: string) => [name, `${name}_FILE`];
const known = new Set(variables.flatMap(({ name }) => bothForms(name)));
const ofProcess = new Set(
  variables.filter(({ scope }) => scope === 'process').flatMap(({ name }) => bothForms(name)),
);

/** These say which database: each entry says it itself. */
const identifying = [
  'DATABASE_URL',
  'PGHOST',
  'PGDATABASE',
  'BACKUP_NAME',
  'RESTORE_SQLITE_PATH',
] as const;

/** Of the environment these reach no entry; POSTGRES_* are the stack's own, and no mistake there. */
const notInherited = new Set(
  [
    FILE,
    ...identifying,
    'POSTGRES_HOST',
    'POSTGRES_PORT',
    'POSTGRES_USER',
    'POSTGRES_PASSWORD',
    'POSTGRES_DB',
  ].flatMap(bothForms),
);

/** Whoever sets the one in an entry means it instead of the other in the environment. */
const alternatives: Readonly<Record<string, string>> = {
  BACKUP_CRON: 'BACKUP_INTERVAL_SECONDS',
  BACKUP_INTERVAL_SECONDS: 'BACKUP_CRON',
};

/** The entries of DATABASES_FILE; what is wrong is noted in `environment`. */
export function readEntries(environment: Environment): DatabaseEntry[] {
  for (const name of identifying) {
    if (environment.get(name) === undefined) continue;
    const hint = `remove it, or ${FILE}: each entry of that file says which database it is.`;
    environment.problem(name, `is set beside ${FILE}`, hint);
  }
  const shared = sharedBy(environment.raw);
  return Object.entries(readFile(environment)).flatMap(([name, value]) => {
    const settings = readSettings(environment, name, value);
    return settings ? [overlaid(name, settings, shared)] : [];
  });
}

function readFile(environment: Environment): Record<string, unknown> {
  const path = environment.path(environment.get(FILE) ?? '');
  let text: string;
  try {
    text = environment.host.readFile(path, LARGEST_FILE);
  } catch (error) {
    const hint =
      'check the path, that the file is mounted into this container (where it is missing outside, Docker makes a folder of its name: remove that), and that PUID may read it.';
    environment.problem(FILE, `can't be read: ${messageOf(error)}`, hint);
    return {};
  }
  try {
    // Loaded only here: it is megabytes that stay.
    const { parseDocument } = createRequire(import.meta.url)('yaml') as typeof import('yaml');
    // Failsafe: every value is the text that stands there, as in an environment.
    const document = parseDocument(text, { schema: 'failsafe', merge: true });
    const [error] = document.errors;
    // Not its message: that quotes the file, which may hold passwords.
    if (error) throw new Error(`${error.code} at line ${error.linePos?.[0].line ?? '?'}`);
    const found: unknown = document.toJS({ maxAliasCount: 1000 });
    if (isMapping(found) && Object.keys(found).length > 0) return found;
    throw new Error('it is no mapping from names of databases to their variables');
  } catch (error) {
    const hint =
      'write YAML or JSON, for example\nshop:\n  DATABASE_URL: postgresql://app:secret@db:5432/shop';
    environment.problem(FILE, `can't be read: ${messageOf(error)}`, hint);
    return {};
  }
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Undefined where the entry is refused as a whole. */
function readSettings(
  environment: Environment,
  name: string,
  value: unknown,
): Map<string, string> | undefined {
  const label = `${FILE}: ${JSON.stringify(name)}`;
  if (!backupName.safeParse(name).success || name === 'check') {
    const hint = 'write 1 to 40 of a-z, 0-9, dot, underscore and hyphen; check is taken.';
    environment.problem(label, "can't be a database's name", hint);
    return undefined;
  }
  if (!isMapping(value)) {
    const hint = `write its variables below it, indented, for example DATABASE_URL_FILE: /run/secrets/${name}_url`;
    environment.problem(label, 'is no mapping of variables', hint);
    return undefined;
  }
  const settings = new Map<string, string>();
  for (const [key, text] of Object.entries(value)) {
    if (isAllowed(environment, name, key, text)) settings.set(key, text as string);
  }
  return settings;
}

function isAllowed(environment: Environment, name: string, key: string, value: unknown): boolean {
  const label = `${name}: ${key}`;
  if (key === 'BACKUP_NAME') {
    environment.problem(label, "is the entry's own name", 'remove it.');
    return false;
  }
  if (ofProcess.has(key)) {
    const hint = 'set it in the environment, for all databases.';
    environment.problem(label, 'belongs to the whole daemon', hint);
    return false;
  }
  if (!known.has(key)) {
    const usable = [...known].filter((one) => !ofProcess.has(one));
    const [nearest] = nearestFirst(key, usable);
    // Elsewhere a stranger's variable is none of our business; here it can only be a mistake, and
    // BACKUP_AGE_RECIPIENT for _RECIPIENTS would leave a database unencrypted.
    environment.problem(label, 'is not a variable of dropback', `the nearest is ${nearest}.`);
    return false;
  }
  if (typeof value === 'string') return true;
  environment.problem(label, 'is no text', 'write one value; several, separated by commas.');
  return false;
}

/** What entries take over from the environment. What dropback doesn't know is told once, there. */
function sharedBy(raw: RawEnvironment): RawEnvironment {
  const isShared = (name: string) => known.has(name) && !notInherited.has(name);
  const names = Object.keys(raw).filter((name) => isShared(name) || name === 'DOCKER_TLS_VERIFY');
  return Object.fromEntries(names.map((name) => [name, raw[name]]));
}

/** A variable of the entry replaces both forms of the environment's; an empty one takes it away. */
function overlaid(
  name: string,
  settings: ReadonlyMap<string, string>,
  shared: RawEnvironment,
): DatabaseEntry {
  const raw: Record<string, string | undefined> = { ...shared };
  for (const [key, text] of settings) {
    const plain = variables.some((one) => one.name === key) ? key : key.replace(/_FILE$/, '');
    const other = text === '' ? undefined : alternatives[plain];
    for (const form of [plain, ...(other ? [other] : [])].flatMap(bothForms)) delete raw[form];
  }
  for (const [key, text] of settings) raw[key] = text;
  raw['BACKUP_NAME'] = name;
  return { name, raw, own: new Set(settings.keys()) };
}
