/**
 * `node --import`ed into a daemon: kills it right before or after the file operation that KILL_AT
 * names: `before link .json.partial` is the first link(2) whose first argument ends like that.
 */
import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

const [when = '', operation = '', ending = ''] = (process.env['KILL_AT'] ?? '').split(' ');
const target = promises as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
const original = target[operation];
if (!original || ending === '') throw new Error('KILL_AT');

target[operation] = async (...args) => {
  const isIt = String(args[0]).endsWith(ending);
  if (isIt && when === 'before') process.kill(process.pid, 'SIGKILL');
  const result = await original(...args);
  if (isIt && when === 'after') process.kill(process.pid, 'SIGKILL');
  return result;
};
syncBuiltinESMExports();
