import { readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  EXIT_CODES,
  type RequestResult,
  type RequestStatus,
  type RestoreRequest,
  requestFile,
  requestIdOf,
  requestSchema,
  statusFile,
} from '../../core/requests/protocol.ts';
import type { Clock } from '../../core/runtime/clock.ts';
import { removeDurably, renameDurably, writeDurably } from '../../core/runtime/durable-files.ts';
import { DropbackError, errorReport } from '../../core/runtime/errors.ts';
import { lookAt } from '../drop-folder/scan.ts';

export interface PendingRequest {
  readonly request: RestoreRequest;
  /** Monotonic, milliseconds. */
  readonly firstSeen: number;
}

const HOUR_MS = 3_600_000;
const MOST_BYTES = 64 * 1024;

/** The daemon's side of the request protocol (`core/requests/protocol.ts`). */
export class RequestInbox {
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #firstSeen = new Map<string, number>();
  /** Of the request that ended last. */
  #finished: string | undefined;
  #writing: Promise<unknown> = Promise.resolve();

  constructor(folder: string, clock: Clock) {
    this.#folder = folder;
    this.#clock = clock;
  }

  /** Requests that wait, in order of arrival. What can't be read as a request is answered so. */
  async pending(): Promise<PendingRequest[]> {
    const now = this.#clock.monotonic();
    const ids = await this.#ids();
    for (const id of this.#firstSeen.keys()) if (!ids.includes(id)) this.#firstSeen.delete(id);
    const pending: PendingRequest[] = [];
    for (const id of ids) {
      const request = await this.#read(id);
      if (!request) continue;
      if (!this.#firstSeen.has(id)) {
        if (await this.#expire(request)) continue;
        this.#firstSeen.set(id, now);
        await this.progress(id, { state: 'queued', message: 'waiting for its turn' });
      }
      pending.push({ request, firstSeen: this.#firstSeen.get(id) ?? now });
    }
    return pending.toSorted(
      (a, b) => a.firstSeen - b.firstSeen || a.request.createdAt.localeCompare(b.request.createdAt),
    );
  }

  /** From here on it is not begun a second time, whatever happens. False: it was withdrawn. */
  async take(id: string): Promise<boolean> {
    try {
      await renameDurably(join(this.#folder, requestFile(id)), this.#takenPath(id));
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
      throw error;
    }
  }

  /** Told nothing more once the request is finished: a late note must not hide the result. */
  async progress(
    id: string,
    status: Pick<RequestStatus, 'state' | 'step' | 'fraction' | 'message'>,
  ): Promise<void> {
    await this.#inTurn(async () => {
      if (id !== this.#finished) await this.#write({ ...this.#head(id), ...status }, false);
    });
  }

  /** The end of a request: its result, durably, then its files go. */
  async finish(id: string, result: RequestResult): Promise<void> {
    const message = result.error?.message ?? result.report?.outcome ?? 'done';
    this.#finished = id;
    await this.#inTurn(() =>
      this.#write({ ...this.#head(id), state: 'done', message, result }, true),
    );
    await removeDurably(join(this.#folder, requestFile(id)));
    await removeDurably(this.#takenPath(id));
    await rm(join(this.#folder, id), { recursive: true, force: true });
    this.#firstSeen.delete(id);
  }

  /** Ids of requests that a daemon had taken and not answered when it died. */
  async unanswered(): Promise<string[]> {
    const names = await readdir(this.#folder);
    return names.flatMap((name) => /^([0-9a-f]{16})\.taken\.json$/.exec(name)?.[1] ?? []);
  }

  /** Answers older than a day, and payloads that no request asks for. */
  async expireOld(): Promise<void> {
    const names = await readdir(this.#folder);
    for (const name of names) {
      const id = /^([0-9a-f]{16})(\.status\.json)?$/.exec(name)?.[1];
      if (id === undefined) continue;
      const isWanted = names.includes(requestFile(id)) || names.includes(`${id}.taken.json`);
      const age = await this.#ageOf(name);
      if (!isWanted && age > (name === id ? HOUR_MS : 24 * HOUR_MS)) {
        await rm(join(this.#folder, name), { recursive: true, force: true });
      }
    }
  }

  async #ids(): Promise<string[]> {
    const names = await readdir(this.#folder);
    return names.flatMap((name) => requestIdOf(name) ?? []);
  }

  async #read(id: string): Promise<RestoreRequest | undefined> {
    const path = join(this.#folder, requestFile(id));
    const stats = await lookAt(path);
    if (!stats) return undefined;
    try {
      if (!stats.isFile() || stats.size > MOST_BYTES) throw new Error('not a small file');
      const request = requestSchema.parse(JSON.parse(await readFile(path, 'utf8')));
      if (request.id !== id) throw new Error('its id is not its name');
      return request;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      const error = errorReport(unreadable(cause));
      await this.finish(id, { exitCode: EXIT_CODES.refused, error });
      return undefined;
    }
  }

  /** Only what was there before the daemon: a long queue is no reason to forget a request. */
  async #expire(request: RestoreRequest): Promise<boolean> {
    const age = this.#clock.now().getTime() - Date.parse(request.createdAt);
    if (age < HOUR_MS) return false;
    await this.finish(request.id, {
      exitCode: EXIT_CODES.tryAgain,
      error: errorReport(expired()),
    });
    return true;
  }

  async #ageOf(name: string): Promise<number> {
    const stats = await stat(join(this.#folder, name)).catch(() => undefined);
    return stats ? this.#clock.now().getTime() - stats.mtimeMs : 0;
  }

  /** Progress is noted by the way, unawaited: two writes of one file must not overtake each other. */
  #inTurn(write: () => Promise<void>): Promise<void> {
    const turn = this.#writing.then(write);
    this.#writing = turn.catch(() => {});
    return turn;
  }

  #head(id: string) {
    const updatedAt = this.#clock.now().toISOString();
    return { format: 'dropback-request-status', version: 1, id, updatedAt } as const;
  }

  /** Progress need not survive a power cut, and comes often: it is replaced without an fsync. */
  async #write(status: RequestStatus, durably: boolean): Promise<void> {
    const path = join(this.#folder, statusFile(status.id));
    const text = `${JSON.stringify(status)}\n`;
    if (durably) return writeDurably(path, text, 0o644);
    const aside = join(this.#folder, `.${statusFile(status.id)}.tmp`);
    await writeFile(aside, text, { mode: 0o644 });
    await rename(aside, path);
  }

  #takenPath(id: string): string {
    return join(this.#folder, `${id}.taken.json`);
  }
}

function unreadable(cause: unknown): DropbackError {
  return new DropbackError('request/unreadable', 'the request is not one that this daemon knows', {
    hint: 'use the dropback command of the same version as db-restore.',
    cause,
  });
}

function expired(): DropbackError {
  return new DropbackError('request/expired', 'the request is older than an hour', {
    hint: 'no daemon was there to take it in time: ask again.',
    retryable: true,
  });
}
