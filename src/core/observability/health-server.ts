import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Alert } from '../alerts/alert.ts';
import { offerOf } from '../alerts/offer.ts';
import { DropbackError, messageOf } from '../runtime/errors.ts';
import { http } from '../runtime/http.ts';
import type { Logger } from './log.ts';

/** What a daemon says of itself. Nothing in it may be secret: there is no authentication. */
export interface HealthReport {
  /** False: something is not as configured, and somebody should look (`/healthz` answers 503). */
  readonly live: boolean;
  /** False: it cannot do its work right now (`/readyz` answers 503). */
  readonly ready: boolean;
  /** Of several databases: whose fault it is. */
  readonly notLive?: readonly string[];
  readonly notReady?: readonly string[];
  /** Whole status, JSON-serialisable: `/status`. */
  readonly status: object;
  /** The little that anyone may see, for a maintenance page: `/public`. Default: `{}`. */
  readonly public?: PublicStatus;
  /** For a daemon whose alerts another one fetches: `/alerts`, which is not there without it. */
  readonly alerts?: () => readonly Alert[];
}

export interface PublicStatus {
  readonly state: 'idle' | 'restoring';
  /** Step of the restore, for example `stage`. */
  readonly step?: string;
  /** Of the step, 0 to 1. */
  readonly fraction?: number;
  /** ISO 8601, UTC. */
  readonly since?: string;
}

export interface HealthServerOptions {
  /** 0 takes a free one; see `HealthServer.port`. */
  readonly port: number;
  /** `127.0.0.1`, or `0.0.0.0` where other containers ask (the default). */
  readonly host?: string;
  /** Called once a request; may be asynchronous. What it throws counts as not live. */
  readonly report: () => HealthReport | Promise<HealthReport>;
  /** Of several databases: one of them, for `/status?database=NAME`; undefined for a stranger. */
  readonly reportOf?: (database: string) => HealthReport | undefined;
  readonly log: Logger;
}

/** An answer that takes longer counts as not live, so that a hanging check is no healthy check. */
const LONGEST_REPORT_MS = 5000;

/**
 * Serves `GET` (and `HEAD`) of `/healthz`, `/readyz`, `/status`, `/public` and, where the report has
 * them, `/alerts` as JSON. Of several databases `/status?database=NAME` is about one alone.
 *
 * Contract: `start` rejects with `health/port-in-use` or `health/not-started`; disposal ends open
 * connections and never rejects. The server alone does not keep the process alive.
 */
export class HealthServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #options: HealthServerOptions;

  private constructor(options: HealthServerOptions) {
    this.#options = options;
    this.#server = http.createServer((request, response) => void this.#answer(request, response));
    this.#server.requestTimeout = 10_000;
    this.#server.headersTimeout = 5000;
    this.#server.maxConnections = 64;
    this.#server.unref();
  }

  static async start(options: HealthServerOptions): Promise<HealthServer> {
    const health = new HealthServer(options);
    const { port, host = '0.0.0.0' } = options;
    try {
      health.#server.listen({ port, host });
      await once(health.#server, 'listening');
    } catch (error) {
      throw notStarted(port, error);
    }
    health.#server.on('error', (error) => options.log.error({ error }, 'health endpoint failed'));
    return health;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return send(response, 405, { error: 'only GET' });
    }
    const [path = '/', query] = (request.url ?? '/').split('?', 2);
    if (!paths.includes(path)) return send(response, 404, { error: 'not found', paths });
    const database = new URLSearchParams(query).get('database');
    const { report: all, reportOf } = this.#options;
    const isOfOne = path === '/status' && database !== null && reportOf !== undefined;
    const report = await this.#report(isOfOne ? () => reportOf(database) : all);
    if (!report) return send(response, 404, { error: 'no such database' });
    const { live, ready, notLive, notReady } = report;
    if (path === '/healthz') return send(response, live ? 200 : 503, { live, notLive });
    if (path === '/readyz') return send(response, ready ? 200 : 503, { ready, notReady });
    if (path === '/alerts') {
      const { alerts } = report;
      return alerts
        ? send(response, 200, offerOf(alerts()))
        : send(response, 404, { error: 'not offered' });
    }
    if (path === '/public') return send(response, 200, report.public ?? {});
    return send(response, 200, { live, ready, ...report.status });
  }

  async #report<T>(ask: () => T | Promise<T>): Promise<T | HealthReport> {
    let timer: NodeJS.Timeout | undefined;
    const tooLong = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error('no status in time')), LONGEST_REPORT_MS);
    });
    try {
      return await Promise.race([Promise.resolve().then(ask), tooLong]);
    } catch (error) {
      this.#options.log.warn({ error }, 'the status could not be told');
      return { live: false, ready: false, status: { error: messageOf(error) } };
    } finally {
      clearTimeout(timer);
    }
  }
}

const paths = ['/healthz', '/readyz', '/status', '/public', '/alerts'];

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'cache-control': 'no-store',
  });
  response.end(`${JSON.stringify(body)}\n`);
}

function notStarted(port: number, cause: unknown): DropbackError {
  const inUse = (cause as NodeJS.ErrnoException).code === 'EADDRINUSE';
  return new DropbackError(
    inUse ? 'health/port-in-use' : 'health/not-started',
    inUse
      ? `port ${port} of the health endpoint is taken`
      : `the health endpoint cannot listen on port ${port}: ${messageOf(cause)}`,
    { hint: 'set HEALTH_PORT to a free port above 1023.', facts: { port }, cause },
  );
}
