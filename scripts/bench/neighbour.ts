import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lab } from './lab.ts';
import type { BenchServer } from './postgres-server.ts';
import { runShell } from './shell.ts';

const DATABASE = 'neighbour';
/** Of a hundred thousand accounts each. */
const SCALE = 10;
const CLIENTS = 4;
/** Far below what one processor can do: an application that has time to spare. */
const PER_SECOND = 200;

/** Milliseconds from when a transaction was due to its end, waiting included. */
export interface ResponseTimes {
  readonly median: number;
  readonly p95: number;
  readonly p99: number;
}

/** An application on the same server: pgbench with its own transactions, due at random, so many a second. */
export class Neighbour implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly #server: BenchServer;

  private constructor(child: ChildProcess, folder: string, server: BenchServer) {
    this.#child = child;
    this.#folder = folder;
    this.#server = server;
  }

  static async moveIn(lab: Lab): Promise<void> {
    const server = await lab.server();
    await server.sql(`CREATE DATABASE ${DATABASE}`);
    const environment = server.environment(DATABASE);
    await runShell(`pgbench -i -q -s ${SCALE}`, { environment });
  }

  static async start(lab: Lab): Promise<Neighbour> {
    const server = await lab.server();
    const folder = await lab.fresh('neighbour');
    const args = ['-n', '-c', CLIENTS, '-R', PER_SECOND, '-T', 3600, '-l', '--random-seed=1'];
    const child = spawn('pgbench', args.map(String), {
      cwd: folder,
      env: server.environment(DATABASE),
      stdio: 'ignore',
    });
    await once(child, 'spawn');
    return new Neighbour(child, folder, server);
  }

  /** Ends it, and tells what it had to wait since `since` (milliseconds of the clock). */
  async leave(since: number): Promise<ResponseTimes> {
    await this[Symbol.asyncDispose]();
    const names = await readdir(this.#folder);
    const texts = await Promise.all(
      names.map((name) => readFile(join(this.#folder, name), 'latin1')),
    );
    // client, transaction, microseconds, script, second and microsecond of its end, lag
    const all = texts
      .flatMap((text) => text.split('\n'))
      .map((line) => line.split(' ').map(Number))
      .filter(([, , , , seconds = 0, micros = 0]) => seconds * 1000 + micros / 1000 >= since)
      .map(([, , micros = 0]) => micros / 1000)
      .toSorted((a, b) => a - b);
    if (all.length === 0) throw new Error('pgbench did nothing');
    const at = (part: number) => all[Math.floor(part * (all.length - 1))] ?? Number.NaN;
    return { median: at(0.5), p95: at(0.95), p99: at(0.99) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    // A signal would end it before it has written what it saw; clients that are cut off don't.
    await this.#server.sql(
      `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '${DATABASE}'`,
    );
    await gone;
  }
}
