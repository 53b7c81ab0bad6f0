import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** `hang` never answers; a number is the status. */
export type Answer = number | 'hang';

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
