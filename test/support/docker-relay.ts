import { mkdtempSync, rmSync } from 'node:fs';
import {
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Answers instead of the engine (true), holds the request for a while, or lets it pass (false). */
export type Interference = (line: string, response: ServerResponse) => boolean | Promise<boolean>;

/**
 * A Unix socket in front of the real engine, for faults at a chosen moment: it can go away and come
 * back, and a test may answer single requests itself.
 */
export class DockerRelay implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'dropback-relay-'));
  readonly #socket = join(this.#folder, 'docker.sock');
  readonly host = `unix://${this.#socket}`;
  /** `POST /containers/web/stop?t=1`, in order, those that met no socket left out. */
  readonly requests: string[] = [];
  interfere: Interference = () => false;
  readonly #engine: string;
  #server: Server | undefined;

  /** `engine`: `unix:///path` of the real one. */
  constructor(engine: string) {
    this.#engine = engine.replace(/^unix:\/\//, '');
  }

  async up(): Promise<void> {
    const server = createServer((asked, response) => void this.#relay(asked, response));
    await new Promise<void>((resolve) => server.listen(this.#socket, resolve));
    this.#server = server;
  }

  /** The socket goes away, and open connections break. */
  async down(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (!server) return;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }

  async #relay(asked: IncomingMessage, response: ServerResponse): Promise<void> {
    const line = `${asked.method} ${(asked.url ?? '').replace(/^\/v[\d.]+/, '')}`;
    this.requests.push(line);
    if (await this.interfere(line, response)) return;
    const { method, url, headers } = asked;
    const onward = request({ socketPath: this.#engine, method, path: url, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    // One that was held may have lost its client meanwhile, as a stop that the engine goes on with.
    if (asked.destroyed) onward.end();
    else asked.pipe(onward);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
