import type { z } from 'zod';
import type { Environment } from './environment.ts';
import { type VariableName, variable } from './variables.ts';

/** The value of a variable; its default's where it is unset, or where it is wrong (and noted). */
export function read<T>(
  environment: Environment,
  name: VariableName,
  schema: z.ZodType<T, string>,
): T {
  const { default: standard } = variable(name);
  if (standard === undefined) throw new RangeError(`${name} has no default`);
  return readIfSet(environment, name, schema) ?? schema.parse(standard);
}

/** The value of a variable; undefined where it is unset, or where it is wrong (and noted). */
export function readIfSet<T>(
  environment: Environment,
  name: VariableName,
  schema: z.ZodType<T, string>,
): T | undefined {
  const text = environment.get(name);
  if (text === undefined) return undefined;
  const result = schema.safeParse(text);
  if (result.success) return result.data;
  for (const issue of result.error.issues) {
    const hint = issue.code === 'custom' ? issue.params?.['hint'] : undefined;
    const message = `${issue.message}${shown(name, text)}`;
    environment.problem(name, message, typeof hint === 'string' ? hint : 'see the README.');
  }
  return undefined;
}

/** `, not "abc"`, for what isn't secret. */
function shown(name: VariableName, text: string): string {
  if (variable(name).secret) return '';
  // An address with a login may have got into the variable of another one.
  const bare = text.replace(/:\/\/\S*@/g, '://***@');
  return `, not ${JSON.stringify(bare.length > 60 ? `${bare.slice(0, 59)}…` : bare)}`;
}
