import type { Environment } from './environment.ts';
import { type VariableName, variables } from './variables.ts';

const URL_LOGIN = /^[a-z0-9.+-]+:\/\/([^/?#:@]*):([^/?#]*)@/i;

const URL_PARAMETER = /[?&]([^=&\s]+)=([^&\s]*)/g;

/** Addresses of databases without a login, as every message has them. */
const MERE_ADDRESS = /^(?:sqlite(?:\+\w+)?:|postgres(?:ql)?(?:\+\w+)?:\/\/[^@?]*$)/i;

/** These say where something is, and are in every message. */
const NAMES = ['PGUSER', 'PGDATABASE', 'POSTGRES_USER', 'POSTGRES_DB'] as const;

/**
 * Whole values, their lines, and the passwords inside of addresses, as written and as decoded. Not a
 * password that is its user's name: to hide that everywhere would tell what it is.
 */
export function secretsOf(environment: Environment): string[] {
  const found = new Set<string>();
  const names = new Set(['postgres', ...NAMES.map((name) => textOf(environment, name))]);
  for (const { name, secret } of variables) {
    const text = secret ? textOf(environment, name) : undefined;
    if (text === undefined || isPlace(name, text)) continue;
    found.add(text);
    // Of a file with an identity, whoever prints it prints lines; comments say nothing.
    for (const line of text.split('\n')) if (!line.startsWith('#')) found.add(line.trim());
    const { user, passwords } = loginOf(text);
    for (const one of user) names.add(decoded(one));
    for (const one of passwords) found.add(one).add(decoded(one));
  }
  return [...found].filter((text) => text !== '' && !names.has(text));
}

/** In front of the host, or among the parameters, as libpq takes them: both may be there. */
function loginOf(text: string): { readonly user: string[]; readonly passwords: string[] } {
  const [, user, password] = URL_LOGIN.exec(text) ?? [];
  const parameters = [...text.matchAll(URL_PARAMETER)];
  const given = (name: string) =>
    parameters.flatMap(([, key = '', value = '']) => (decoded(key) === name ? [value] : []));
  return {
    user: [...(user === undefined ? [] : [user]), ...given('user')],
    passwords: [...(password === undefined ? [] : [password]), ...given('password')],
  };
}

/** What only says where something is: hidden, it would be missing in every line that names it. */
function isPlace(name: VariableName, text: string): boolean {
  return name === 'RESTORE_AGE_IDENTITY' ? /^\/[^\n]*$/.test(text) : MERE_ADDRESS.test(text);
}

function textOf(environment: Environment, name: VariableName): string | undefined {
  return environment.get(name)?.trim();
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
