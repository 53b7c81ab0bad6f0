/**
 * The process in which all SQLite work happens, started by `tool-client.ts`: as the owner of the
 * database file, killable at any time, and the only place that loads a SQLite library.
 *
 * `node tool.ts <operation>`: one line of JSON on standard input, lines of JSON on standard output.
 * Exit status: 0 done, 10 an error that was told, anything else a crash.
 */
import { writeSync } from 'node:fs';
import { TOLD_ERROR, tellError } from '../../runtime/process/told-error.ts';
import { type Conversation, handlers } from './tool/handlers.ts';
import { translate } from './tool/sqlite-errors.ts';

function say(message: unknown): void {
  const bytes = Buffer.from(`${JSON.stringify(message)}\n`);
  for (let offset = 0; offset < bytes.length; ) offset += writeSync(1, bytes, offset);
}

/** The first line; standard input stays open, its end tells a lock's holder to let go. */
function readRequest(): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let text = '';
    process.stdin.setEncoding('utf8');
    const onData = (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\n');
      if (end < 0) return;
      process.stdin.off('data', onData).pause();
      resolve(JSON.parse(text.slice(0, end)));
    };
    process.stdin.on('data', onData);
    process.stdin.once('end', () => reject(new Error('no request on standard input')));
  });
}

async function main(): Promise<number> {
  const conversation: Conversation = {
    say,
    asked: new Promise<void>((resolve) => process.stdin.once('end', resolve)),
  };
  try {
    const request = await readRequest();
    const handler = handlers[process.argv[2] as keyof typeof handlers];
    if (!handler) throw new Error(`unknown operation ${process.argv[2]}`);
    say({ result: await handler(request as never, conversation) });
    return 0;
  } catch (error) {
    say(tellError(translate(error)));
    return TOLD_ERROR;
  }
}

process.umask(0o077);
process.exit(await main());
