import type { HooksConfig } from './config.ts';
import type { Environment } from './environment.ts';
import { read, readIfSet } from './reader.ts';
import { integer, value } from './values.ts';

const command = value<string>((text) => {
  if (text.trim() !== '' && !text.includes('\0')) return { ok: text };
  return { message: 'is no command', hint: 'write a command line for sh, or leave it empty.' };
});

export function readHooks(environment: Environment, daemon: 'BACKUP' | 'RESTORE'): HooksConfig {
  const pre = readIfSet(environment, `${daemon}_PRE_HOOK`, command);
  const post = readIfSet(environment, `${daemon}_POST_HOOK`, command);
  const seconds = read(
    environment,
    `${daemon}_HOOK_TIMEOUT_SECONDS`,
    integer(1, 86_400, 'seconds'),
  );
  return {
    ...(pre === undefined ? {} : { pre }),
    ...(post === undefined ? {} : { post }),
    timeoutMs: seconds * 1000,
  };
}
