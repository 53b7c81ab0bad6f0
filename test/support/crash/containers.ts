import type { IncomingMessage, ServerResponse } from 'node:http';
import { DockerWire, WireContainers } from '../docker-wire.ts';

/** Told the request before it is carried out, and before it is answered; false answers nothing. */
export type ContainerWatch = (what: string) => boolean;

/**
 * An engine on the wire that obeys at once, and lives on when the daemon dies. Stops and starts are
 * told; looking isn't.
 */
export class CrashContainers implements AsyncDisposable {
  readonly engine: WireContainers;
  readonly #wire: DockerWire;

  constructor(names: readonly string[], watch: ContainerWatch) {
    this.engine = new WireContainers(...names);
    this.#wire = new DockerWire((request, response) => this.#answer(request, response, watch));
  }

  get host(): string {
    return this.#wire.host;
  }

  /** Docker comes, or comes back; what ran still does. */
  up(): Promise<void> {
    return this.#wire.up();
  }

  down(): Promise<void> {
    return this.#wire.down();
  }

  /** Names of those that don't run. */
  get stopped(): string[] {
    return [...this.engine.running].flatMap(([name, runs]) => (runs ? [] : [name]));
  }

  #answer(request: IncomingMessage, response: ServerResponse, watch: ContainerWatch): void {
    const [, name, verb] = /\/containers\/([^/]+)\/(stop|start)/.exec(request.url ?? '') ?? [];
    const deed = this.engine.running.has(name ?? '') ? `${verb} ${name}` : undefined;
    if (deed && !watch(`docker: ${deed}`)) return void response.destroy();
    const real = response.end.bind(response);
    if (deed) {
      // Done, but the one who asked is dead before it hears of it.
      response.end = ((...args: Parameters<typeof real>) =>
        watch(`docker: ${deed} done`) ? real(...args) : response.destroy()) as typeof response.end;
    }
    this.engine.answer(request, response);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#wire[Symbol.asyncDispose]();
  }
}
