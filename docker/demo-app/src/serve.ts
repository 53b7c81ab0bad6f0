import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { openDatabase, targetOf } from './database.ts';
import { page } from './page.ts';
import { addRecords, countRecords, latestRecords, ping, removeAllRecords } from './records.ts';

const MOST_AT_ONCE = 10_000;
const LONGEST_BODY = 64 * 1024;

const db = openDatabase(targetOf(process.env['DATABASE_URL'] ?? ''));
const port = Number(process.env['PORT'] || 8000);

const server = createServer((request, response) => {
  answer(request, response).catch((error: Error) => {
    console.error(`${request.method} ${request.url}: ${error.message}`);
    const status = error instanceof BadRequest ? 400 : 503;
    if (!response.headersSent) send(response, status, 'text/plain', `${error.message}\n`);
    else response.destroy();
  });
});

class BadRequest extends Error {}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = new URL(request.url ?? '/', 'http://localhost').pathname;
  switch (`${request.method} ${path}`) {
    case 'GET /':
      return send(
        response,
        200,
        'text/html',
        page(await countRecords(db), await latestRecords(db, 50)),
      );
    case 'GET /records':
      return send(response, 200, 'application/json', JSON.stringify(await asJson()));
    case 'POST /records': {
      const { title, count } = await readForm(request);
      await addRecords(db, title, count);
      return seeOther(response);
    }
    case 'POST /records/remove-all':
      await removeAllRecords(db);
      return seeOther(response);
    case 'GET /healthz':
      await ping(db);
      return send(response, 200, 'text/plain', 'ok\n');
    default:
      return send(response, 404, 'text/plain', 'not found\n');
  }
}

async function asJson() {
  return { count: await countRecords(db), latest: await latestRecords(db, 10) };
}

async function readForm(request: IncomingMessage): Promise<{ title: string; count: number }> {
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) {
    body += chunk;
    if (body.length > LONGEST_BODY) throw new BadRequest('the form is too long');
  }
  const form = new URLSearchParams(body);
  const title = form.get('title')?.trim() ?? '';
  const count = Number(form.get('count') || 1);
  if (title === '' || title.length > 200)
    throw new BadRequest('a title of 1 to 200 characters is needed');
  if (!Number.isInteger(count) || count < 1 || count > MOST_AT_ONCE) {
    throw new BadRequest(`count must be 1 to ${MOST_AT_ONCE}`);
  }
  return { title, count };
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    'content-type': `${type}; charset=utf-8`,
    'cache-control': 'no-store',
  });
  response.end(body);
}

function seeOther(response: ServerResponse): void {
  response.writeHead(303, { location: '/' });
  response.end();
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    server.close(() => db.destroy().then(() => process.exit(0)));
    server.closeIdleConnections();
    // Whoever still waits is cut off before the engine kills us.
    setTimeout(() => process.exit(0), 5000).unref();
  });
}

server.listen(port, '0.0.0.0', () => console.log(`listening on port ${port}`));
