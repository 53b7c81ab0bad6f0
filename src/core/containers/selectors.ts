import { DropbackError } from '../runtime/errors.ts';

export type Selector =
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'service'; readonly service: string }
  | { readonly kind: 'label'; readonly key: string; readonly value: string };

/** `NAME`, `service:NAME` or `label:KEY=VALUE`. Throws `containers/bad-selector`. */
export function parseSelector(text: string): Selector {
  const [, kind, rest = ''] = /^(service|label):(.*)$/s.exec(text) ?? [];
  if (kind === 'service' && isName(rest)) return { kind, service: rest };
  if (kind === 'label') {
    const [, key, value] = /^([^=]+)=(.*)$/s.exec(rest) ?? [];
    if (key !== undefined && value !== undefined) return { kind, key, value };
  }
  // Compose and `docker ps` show the name without the slash that the API puts in front.
  const name = text.replace(/^\//, '');
  if (kind === undefined && isName(name)) return { kind: 'name', name };
  throw new DropbackError('containers/bad-selector', `selects nothing: ${JSON.stringify(text)}`, {
    hint: 'write an exact container name, service:NAME or label:KEY=VALUE.',
  });
}

/** What Docker allows as the name of a container; whatever else would be a path into its API. */
export function isName(text: string): boolean {
  return /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(text);
}
