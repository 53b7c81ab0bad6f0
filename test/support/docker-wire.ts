import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/**
 * Docker's API on the wire, for faults that a real engine doesn't produce on demand: an HTTP server
 * on a Unix socket whose answers a test decides.
 */
export class DockerWire implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'dropback-wire-'));
  readonly host = `unix://${this.#folder}/docker.sock`;
  /** `POST /containers/web/stop?t=1`, in order. */
  readonly requests: string[] = [];
  answer: Answer;
  #server: Server | undefined;

  constructor(answer: Answer) {
    this.answer = answer;
  }

  async up(): Promise<void> {
    const server = createServer((request, response) => {
      this.requests.push(`${request.method} ${request.url}`);
      this.answer(request, response);
    });
    await new Promise<void>((resolve) => {
      server.listen(`${this.#folder}/docker.sock`, resolve);
    });
    this.#server = server;
  }

  /** The socket goes away and open connections break. */
  async down(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (!server) return;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

/** A small engine that knows containers by name and obeys stop and start at once. */
export class WireContainers {
  readonly running = new Map<string, boolean>();

  constructor(...names: string[]) {
    for (const name of names) this.running.set(name, true);
  }

  readonly answer: Answer = (request, response) => {
    const [, name = '', verb = ''] =
      /^\/containers\/([^/]+)\/(json|stop|start)/.exec(request.url ?? '') ?? [];
    const runs = this.running.get(name);
    if (runs === undefined) return json(response, 404, { message: `No such container: ${name}` });
    if (verb === 'json') return json(response, 200, inspectAnswer(name, runs));
    this.running.set(name, verb === 'start');
    response.writeHead(204).end();
  };
}

export function inspectAnswer(name: string, runs: boolean, startedAt = '2026-11-22T00:00:00Z') {
  return {
    Id: 'f'.repeat(64),
    Name: `/${name}`,
    State: { Status: runs ? 'running' : 'exited', ExitCode: 0, StartedAt: startedAt },
    Config: { Labels: {}, Image: 'app' },
    HostConfig: { AutoRemove: false },
  };
}
