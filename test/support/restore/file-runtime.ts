import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ContainerRuntime, ContainerState } from '../../../src/core/containers/runtime.ts';
import { DropbackError } from '../../../src/core/runtime/errors.ts';

/** Containers that are files, so that they outlive the daemon; for crashes and faults. */
export class FileRuntime implements ContainerRuntime {
  readonly description = 'files';
  readonly #folder: string;
  readonly #fault: (call: string) => void;
  /** Those whose health check fails; the others have none. */
  readonly sick = new Set<string>();

  constructor(folder: string, fault: (call: string) => void = () => {}) {
    this.#folder = folder;
    this.#fault = fault;
    mkdirSync(folder, { recursive: true });
  }

  set(name: string, status: 'running' | 'exited'): void {
    writeFileSync(join(this.#folder, name), status);
  }

  get(name: string): string | undefined {
    try {
      return readFileSync(join(this.#folder, name), 'utf8');
    } catch {
      return undefined;
    }
  }

  async checks() {
    return [];
  }

  async list() {
    return readdirSync(this.#folder).map((name) => this.#describe(name));
  }

  async inspect(name: string): Promise<ContainerState | undefined> {
    this.#fault(`inspect ${name}`);
    return this.get(name) === undefined ? undefined : this.#describe(name);
  }

  async stop(name: string): Promise<void> {
    this.#fault(`stop ${name}`);
    this.set(name, 'exited');
  }

  async start(name: string): Promise<void> {
    this.#fault(`start ${name}`);
    if (this.get(name) === undefined) {
      throw new DropbackError('containers/not-found', `no container ${name}`, { hint: 'make it.' });
    }
    this.set(name, 'running');
  }

  #describe(name: string): ContainerState {
    const running = this.get(name) === 'running';
    return {
      id: `id-${name}`,
      name,
      labels: {},
      running,
      status: running ? 'running' : 'exited',
      health: this.sick.has(name) ? 'unhealthy' : 'none',
      exitCode: 0,
      autoRemove: false,
      addresses: [],
      publishedPorts: [],
      startedAt: '2026-01-01T00:00:00Z',
      image: 'test',
    };
  }
}
