import { type Section, sectionTitles, type Variable, variables } from './variables.ts';

/**
 * What `docker-compose.backup.yml` does not take from outside: it sets these itself, or (libpq's) a
 * shell may well have them for another server; DATABASE_URL and POSTGRES_* say the same.
 */
export const notFromOutside: ReadonlySet<string> = new Set([
  'DROPBACK_DAEMON',
  'DOCKER_HOST',
  'HEALTH_PORT',
  'PGHOST',
  'PGPORT',
  'PGUSER',
  'PGPASSWORD',
  'PGDATABASE',
]);

const WIDTH = 100;

/** Lines for an env file: every variable that it can set and that `before` doesn't mention. */
export function variablesAsEnvFile(before: string): string {
  const mentioned = new Set(
    Array.from(before.matchAll(/^#?([A-Z][A-Z0-9_]*)=/gm), ([, name]) => name),
  );
  const missing = variables.filter(({ name }) => !mentioned.has(name) && !notFromOutside.has(name));
  const sections = Object.keys(sectionTitles) as Section[];
  return sections
    .map((section) => missing.filter((variable) => variable.section === section))
    .filter((found) => found.length > 0)
    .map((found) => found.map(entry).join('\n'))
    .join('\n\n');
}

function entry({ name, default: standard, shownDefault, meaning }: Variable): string {
  const text = meaning.replaceAll('`', '');
  const shown = shownDefault && `default: ${shownDefault.replaceAll('`', '')}`;
  const comment = [text, shown].filter(Boolean).join('; ');
  return [...(comment === '' ? [] : wrapped(comment)), `#${name}='${standard ?? ''}'`].join('\n');
}

function wrapped(text: string): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < WIDTH)
      lines.push(`${lines.pop()} ${word}`);
    else lines.push(`# ${word}`);
  }
  return lines;
}
