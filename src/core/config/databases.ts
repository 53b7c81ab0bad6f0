import { basename, dirname } from 'node:path';
import type { CommonConfig, PostgresConnection } from './config.ts';
import { type DatabaseEntry, readEntries } from './databases-file.ts';
import { type ConfigHost, Environment, machine, type RawEnvironment } from './environment.ts';
import { type ConfigProblem, configError, configProblems } from './problems.ts';

/** What a daemon was started for: one database, or those of DATABASES_FILE. */
export interface Databases<T> {
  /** At least one; in the order of the file. */
  readonly all: readonly [T, ...T[]];
  /** DATABASES_FILE is set, be it with one entry alone. */
  readonly areSeveral: boolean;
  readonly warnings: readonly string[];
}

type Parse<T> = (raw: RawEnvironment, host?: ConfigHost) => T;

/** Throws `config/invalid` with every problem of every entry at once. */
export function parseDatabases<T extends CommonConfig>(
  parse: Parse<T>,
  raw: RawEnvironment,
  host: ConfigHost = machine,
): Databases<T> {
  const environment = new Environment(raw, host);
  if (environment.get('DATABASES_FILE') === undefined) {
    const config = parse(raw, host);
    return { all: [config], areSeveral: false, warnings: config.warnings };
  }
  const problems: ConfigProblem[] = [];
  const entries = readEntries(environment);
  problems.push(...environment.problems);
  const parsed = entries.flatMap((entry) => {
    const found = parseEntry(parse, entry, host);
    problems.push(...(found.problems ?? []));
    return found.config ? [{ entry, config: found.config }] : [];
  });
  problems.push(...sameDatabases(parsed, host));
  const [first, ...rest] = parsed.map(({ config }) => config);
  if (problems.length > 0 || !first) {
    throw configError(unique(problems), environment.warnings);
  }
  const secrets = [...new Set(parsed.flatMap(({ config }) => config.alerts.secrets))];
  return {
    all: [withSecrets(first, secrets), ...rest.map((config) => withSecrets(config, secrets))],
    areSeveral: true,
    warnings: [...environment.warnings, ...warningsOf(parsed)],
  };
}

function parseEntry<T extends CommonConfig>(
  parse: Parse<T>,
  { name, raw, own }: DatabaseEntry,
  host: ConfigHost,
): { readonly config?: T; readonly problems?: ConfigProblem[] } {
  try {
    return { config: { ...parse(raw, host), isOneOfSeveral: true } };
  } catch (error) {
    const problems = configProblems(error);
    if (!problems) throw error;
    // What is wrong in the environment is wrong once, not once an entry.
    const isShared = (variable: string) => !own.has(variable) && raw[variable] !== undefined;
    return {
      problems: problems.map((problem) => {
        const { variable } = problem;
        return isShared(variable) ? problem : { ...problem, variable: `${name}: ${variable}` };
      }),
    };
  }
}

/** What one of them must not tell, none of them may: they share a process and its log. */
function withSecrets<T extends CommonConfig>(config: T, secrets: readonly string[]): T {
  const { alerts, log } = config;
  return { ...config, alerts: { ...alerts, secrets }, log: { ...log, secrets } };
}

interface Parsed<T> {
  readonly entry: DatabaseEntry;
  readonly config: T;
}

/** Two entries of one database would restore over each other; some only the server can tell. */
function sameDatabases<T extends CommonConfig>(
  parsed: readonly Parsed<T>[],
  host: ConfigHost,
): ConfigProblem[] {
  const owners = new Map<string, string>();
  return parsed.flatMap(({ entry, config: { database } }) => {
    const key =
      database.kind === 'sqlite' ? fileKey(database.path, host) : serverKey(database.connection);
    const owner = owners.get(key);
    owners.set(key, owner ?? entry.name);
    if (owner === undefined) return [];
    const hint = 'remove one of the two entries.';
    return [
      { variable: `${entry.name}: DATABASE_URL`, message: `is the database of ${owner}`, hint },
    ];
  });
}

/** By its inode where it exists, whichever way leads to it; else by that of its folder. */
function fileKey(path: string, host: ConfigHost): string {
  const file = idOf(path, host);
  if (file !== undefined) return `file ${file}`;
  const folder = idOf(dirname(path), host);
  return folder === undefined ? `path ${path}` : `in ${folder} ${basename(path)}`;
}

function idOf(path: string, host: ConfigHost): string | undefined {
  try {
    return host.fileId(path);
  } catch {
    // Not ours to enter: whoever may tells what is wrong.
    return undefined;
  }
}

const THIS_MACHINE = ['localhost', '127.0.0.1', '::1'];

function serverKey({ host, port, database }: PostgresConnection): string {
  const name = host.toLowerCase().replace(/\.$/, '');
  const server = THIS_MACHINE.includes(name) ? 'localhost' : name;
  return `postgres ${server} ${port} ${database}`;
}

function unique(problems: readonly ConfigProblem[]): ConfigProblem[] {
  const byText = new Map(problems.map((one) => [JSON.stringify(one), one]));
  return [...byText.values()];
}

/** What all of them say comes from the environment. */
function warningsOf<T extends CommonConfig>(parsed: readonly Parsed<T>[]): string[] {
  const names = new Map<string, string[]>();
  for (const { entry, config } of parsed) {
    for (const warning of config.warnings) {
      names.set(warning, [...(names.get(warning) ?? []), entry.name]);
    }
  }
  return [...names].flatMap(([warning, of]) =>
    of.length > 1 && of.length === parsed.length
      ? [warning]
      : of.map((one) => `${one}: ${warning}`),
  );
}
