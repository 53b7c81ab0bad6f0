import { once } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** `hang` never answers; a number is the status. */
export type Answer = number | 'hang' | OddAnswer;

export interface OddAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** After what `body` says, the answer goes on: with nothing, or with more and more. */
  readonly goesOn?: 'silent' | 'endless';
}

/** A real HTTP server that keeps what is posted to it. */
export class HttpSink implements AsyncDisposable {
  readonly received: Received[] = [];
  /** For the next requests, in order; then 200. */
  readonly answers: Answer[] = [];
  /** For all requests, while set. */
  always: Answer | undefined;
  readonly #server: Server;

  private constructor() {
    this.#server = createServer(async (request, response) => {
      let body = '';
      for await (const chunk of request) body += chunk;
      const answer = this.always ?? this.answers.shift() ?? 200;
      this.received.push({ path: request.url ?? '', headers: request.headers, body });
      if (answer === 'hang') return;
      if (typeof answer === 'object') return answerOddly(response, answer);
      response.writeHead(answer, answer === 302 ? { location: '/elsewhere' } : {});
      const path = decodeURIComponent(request.url ?? '');
      const problem = `Cannot POST ${request.url} (${path}): invalid_payload for token-123456`;
      response.end(answer === 200 ? 'ok' : problem);
    });
  }

  static async start(): Promise<HttpSink> {
    const sink = new HttpSink();
    sink.#server.listen(0, '127.0.0.1');
    await once(sink.#server, 'listening');
    return sink;
  }

  url(path = '/'): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}${path}`;
  }

  json(at: number): Record<string, unknown> {
    return JSON.parse(this.received.at(at)?.body ?? 'null');
  }

  /** As a receiver that dies: requests without an answer fail. */
  endConnections(): void {
    this.#server.closeAllConnections();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }
}

function answerOddly(response: ServerResponse, { status, headers, body, goesOn }: OddAnswer) {
  response.writeHead(status, headers);
  response.on('error', () => {});
  if (goesOn === undefined) return void response.end(body);
  response.write(body ?? ' ');
  const more = () => {
    while (!response.destroyed && response.write('x'.repeat(65_536)));
  };
  if (goesOn === 'silent') return;
  response.on('drain', more);
  more();
}
