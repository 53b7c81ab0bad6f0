import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';

/** What happens to a request instead of, or after, being passed on to the real endpoint. */
export type Fault =
  /** Answered by the proxy; the endpoint never sees it. */
  | { readonly kind: 'answer'; readonly status: number; readonly body: string }
  /** The connection is reset after so many bytes of the request's body. */
  | { readonly kind: 'reset'; readonly afterBytes: number }
  /** Taken in whole, never answered. */
  | { readonly kind: 'hang' }
  /** Carried out by the endpoint; the answer is lost with the connection. */
  | { readonly kind: 'lose-answer' }
  /** Carried out by the endpoint; the answer is replaced by this one. */
  | { readonly kind: 'replace-answer'; readonly status: number; readonly body: string }
  /** Carried out; one header of the answer is changed. */
  | { readonly kind: 'change-header'; readonly name: string; readonly value: string }
  /** Carried out; the connection is cut after so many bytes of the answer's body. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  /** Carried out; the answer doesn't say how long it is. */
  | { readonly kind: 'untold-size' }
  /** As `cut`, but the connection stays open and silent. */
  | { readonly kind: 'stall'; readonly afterBytes: number }
  /** Read byte by byte and never answered, while a byte of an answer comes now and then. */
  | { readonly kind: 'trickle-up' }
  /** Carried out; after so many bytes of the answer's body the rest comes byte by byte. */
  | { readonly kind: 'trickle'; readonly afterBytes: number };

export interface FaultRule {
  readonly when: (seen: SeenRequest) => boolean;
  readonly fault: Fault;
  /** How often; default once. */
  times?: number;
}

export interface SeenRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
}

/** Stands in front of a real S3 endpoint, on the wire, and spoils chosen requests. */
export class S3FaultProxy implements AsyncDisposable {
  readonly endpoint: string;
  readonly seen: SeenRequest[] = [];
  /** How many requests were spoilt. */
  fired = 0;
  readonly #server: Server;
  #rules: FaultRule[] = [];

  private constructor(server: Server) {
    this.#server = server;
    this.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(target: string): Promise<S3FaultProxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const proxy = new S3FaultProxy(server);
    server.on('request', (req, res) => proxy.#handle(new URL(target), req, res));
    return proxy;
  }

  inject(...rules: FaultRule[]): void {
    this.#rules.push(...rules);
  }

  /** Forgets the faults and what was seen. */
  reset(): void {
    this.#rules = [];
    this.seen.length = 0;
    this.fired = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #handle(target: URL, req: IncomingMessage, res: ServerResponse): void {
    req.on('error', () => {});
    res.on('error', () => {});
    const seen = { method: req.method ?? '', url: req.url ?? '', headers: req.headers };
    this.seen.push(seen);
    const fault = this.#take(seen);
    switch (fault?.kind) {
      case 'answer':
        req.resume().on('end', () => answer(res, fault.status, fault.body));
        return;
      case 'hang':
        req.resume();
        return;
      case 'reset':
        resetAfter(req, fault.afterBytes);
        return;
      case 'trickle-up':
        trickleUp(req);
        return;
      default:
        forward(target, req, res, fault);
    }
  }

  #take(seen: SeenRequest): Fault | undefined {
    const rule = this.#rules.find(({ when }) => when(seen));
    if (!rule) return undefined;
    this.fired++;
    rule.times = (rule.times ?? 1) - 1;
    if (rule.times <= 0) this.#rules = this.#rules.filter((other) => other !== rule);
    return rule.fault;
  }
}

function answer(res: ServerResponse, status: number, body: string): void {
  res.writeHead(status, {
    'content-type': 'application/xml',
    'content-length': Buffer.byteLength(body),
  });
  res.end(body);
}

function resetAfter(req: IncomingMessage, bytes: number): void {
  let got = 0;
  req.on('data', (chunk: Buffer) => {
    got += chunk.length;
    if (got > bytes) req.socket.resetAndDestroy();
  });
  req.on('end', () => req.socket.resetAndDestroy());
}

/** Bytes that keep every idle time-out from firing. */
const TRICKLE_MS = 50;

/** As slowly as it takes what it is sent, it gives a status line that never ends. */
function trickleUp(req: IncomingMessage): void {
  const { socket } = req;
  req.pause();
  let isBegun = false;
  const timer = setInterval(() => {
    req.read(1);
    socket.write(isBegun ? 'a' : 'HTTP/1.1 200 ');
    isBegun = true;
  }, TRICKLE_MS);
  socket.on('close', () => clearInterval(timer));
}

function forward(
  target: URL,
  req: IncomingMessage,
  res: ServerResponse,
  fault: Fault | undefined,
): void {
  // The host that was signed stays; the 100 has been given by this server already.
  const { expect: _, ...headers } = req.headers;
  const upstream = request(
    { host: target.hostname, port: target.port, method: req.method, path: req.url, headers },
    (response) => passBack(response, res, fault),
  );
  upstream.on('error', () => res.destroy());
  req.on('close', () => {
    if (!req.complete) upstream.destroy();
  });
  req.pipe(upstream);
}

function passBack(response: IncomingMessage, res: ServerResponse, fault: Fault | undefined): void {
  response.on('error', () => res.destroy());
  if (fault?.kind === 'lose-answer') {
    response.resume().on('end', () => res.socket?.resetAndDestroy());
    return;
  }
  if (fault?.kind === 'replace-answer') {
    response.resume().on('end', () => answer(res, fault.status, fault.body));
    return;
  }
  const headers = { ...response.headers };
  if (fault?.kind === 'change-header') headers[fault.name] = fault.value;
  if (fault?.kind === 'untold-size') delete headers['content-length'];
  res.writeHead(response.statusCode ?? 502, headers);
  if (fault?.kind === 'trickle') {
    trickle(response, res, fault.afterBytes);
    return;
  }
  if (fault?.kind !== 'cut' && fault?.kind !== 'stall') {
    response.pipe(res);
    return;
  }
  if (fault.afterBytes === 0 && fault.kind === 'cut') {
    response.destroy();
    res.flushHeaders();
    res.socket?.end();
    return;
  }
  let sent = 0;
  // An answer that is shorter is cut at its end.
  if (fault.kind === 'cut') response.on('end', () => res.socket?.resetAndDestroy());
  response.on('data', (chunk: Buffer) => {
    const left = fault.afterBytes - sent;
    if (left <= 0) return;
    sent += Math.min(left, chunk.length);
    res.write(chunk.subarray(0, left), () => {
      if (sent < fault.afterBytes) return;
      if (fault.kind === 'cut') res.socket?.resetAndDestroy();
    });
  });
}

function trickle(response: IncomingMessage, res: ServerResponse, afterBytes: number): void {
  const pieces: Buffer[] = [];
  response.on('data', (piece: Buffer) => pieces.push(piece));
  response.on('end', () => {
    const body = Buffer.concat(pieces);
    res.write(body.subarray(0, afterBytes));
    let at = afterBytes;
    const timer = setInterval(() => res.write(body.subarray(at, ++at)), TRICKLE_MS);
    res.on('close', () => clearInterval(timer));
  });
}

/** An error as S3 writes it. */
export function s3Error(code: string, message = 'made by the test'): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${message}</Message></Error>`;
}
