import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

/** Servers that repeat what they are given, in every way that was ever seen, as they refuse it. */
export interface EchoServer extends AsyncDisposable {
  readonly port: number;
  /** Times that somebody was refused. */
  readonly refused: () => number;
}

/** PostgreSQL's protocol as far as the password, which is asked for in the clear. */
export async function echoPostgres(): Promise<EchoServer> {
  let refused = 0;
  const server = createServer((socket) => {
    let pending = Buffer.alloc(0);
    let isStarted = false;
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      for (;;) {
        const at = isStarted ? 1 : 0;
        if (pending.length < at + 4 || pending.length < at + pending.readInt32BE(at)) return;
        const end = at + pending.readInt32BE(at);
        const body = pending.subarray(at + 4, end);
        pending = pending.subarray(end);
        if (!isStarted) {
          isStarted = true;
          socket.write(message('R', Buffer.from([0, 0, 0, 3])));
          continue;
        }
        refused += 1;
        const password = body.toString().replace(/\0$/, '');
        socket.end(message('E', Buffer.from(refusal(password))));
      }
    });
  });
  return await listening(server, () => refused);
}

function refusal(password: string): string {
  const said = repeated(password);
  const fields = { S: 'FATAL', V: 'FATAL', C: '28P01', M: said, D: said, H: said };
  return `${Object.entries(fields)
    .map(([code, text]) => `${code}${text}\0`)
    .join('')}\0`;
}

function message(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

/** Any HTTP: headers and address come back, `secrets` too, as an endpoint that knows them might. */
export async function echoHttp(type: string, secrets: readonly string[]): Promise<EchoServer> {
  let refused = 0;
  const server = createHttpServer((request, response) => {
    request.resume();
    // Has no body to repeat anything in: what is looked for is not there yet.
    if (request.method === 'HEAD') return void response.writeHead(404).end();
    refused += 1;
    const all = [...secrets, JSON.stringify(request.headers), request.url ?? ''];
    const text = all.map(repeated).join(' ');
    const xml = `<Error><Code>AccessDenied</Code><Message>${text.replace(/[<&]/g, (c) => (c === '<' ? '&lt;' : '&amp;'))}</Message></Error>`;
    response.writeHead(403, { 'content-type': type });
    response.end(type.endsWith('xml') ? xml : text);
  });
  return await listening(server, () => refused);
}

function repeated(text: string): string {
  const base64 = Buffer.from(`app:${text}`).toString('base64');
  return `[${text}] [${encodeURIComponent(text)}] [${JSON.stringify(text)}] Basic ${base64}`;
}

async function listening(server: Server, refused: () => number): Promise<EchoServer> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    refused,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
