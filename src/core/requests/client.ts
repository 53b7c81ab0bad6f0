import { existsSync } from 'node:fs';
import { chown, copyFile, mkdir, readFile, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Clock } from '../runtime/clock.ts';
import { renameDurably, writeAndSync } from '../runtime/durable-files.ts';
import { DropbackError, throwIfAborted } from '../runtime/errors.ts';
import { noDaemon } from './no-daemon.ts';
import {
  newRequestId,
  type RequestResult,
  type RequestStatus,
  type RestoreRequest,
  requestFile,
  requestSchema,
  statusFile,
} from './protocol.ts';

/** What a request asks for; the rest of it is filled in. */
export interface Ask
  extends Pick<RestoreRequest, 'kind' | 'backupId' | 'into' | 'previousId' | 'force'> {
  /** A file of the caller's: copied into the request. */
  readonly file?: string;
}

/** `docker compose up -d` returns before the daemon has begun its work. */
const STARTING_MS = 15_000;

/** The caller's side of the protocol: hands requests to the daemon and follows them. */
export class RequestClient {
  readonly #folder: string;
  readonly #clock: Clock;

  /** `folder`: `requests/` beside RESTORE_WATCH_DIR. */
  constructor(folder: string, clock: Clock) {
    this.#folder = folder;
    this.#clock = clock;
  }

  /** Returns the request's id. Throws `request/no-daemon` where the folder isn't there, nor made meanwhile. */
  async submit(ask: Ask, signal: AbortSignal): Promise<string> {
    const owner = await this.#owner(signal);
    const id = newRequestId();
    const { file, ...rest } = ask;
    const fixed = { format: 'dropback-request', version: 1, id } as const;
    const createdAt = this.#clock.now().toISOString();
    const request = requestSchema.parse({
      ...fixed,
      createdAt,
      ...rest,
      ...(file === undefined ? {} : { file: basename(file) }),
    });
    throwIfAborted(signal);
    try {
      if (file !== undefined) await this.#copyPayload(file, id, owner);
      const path = join(this.#folder, requestFile(id));
      // The daemon may take it at the very moment at which it has its name.
      const aside = join(this.#folder, `.${requestFile(id)}.tmp`);
      await writeAndSync(aside, `${JSON.stringify(request, undefined, 2)}\n`);
      await giveTo(aside, owner);
      await renameDurably(aside, path);
    } catch (error) {
      await rm(join(this.#folder, requestFile(id)), { force: true });
      await this.#removePayload(id);
      throw error;
    }
    return id;
  }

  /** Undefined until the daemon has seen the request. */
  async status(id: string): Promise<RequestStatus | undefined> {
    try {
      const text = await readFile(join(this.#folder, statusFile(id)), 'utf8');
      return JSON.parse(text) as RequestStatus;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /**
   * Follows a request to its end, telling each change. Throws `request/not-taken` (retryable) when
   * no daemon has seen it within `takenWithinMs`; the request is withdrawn then.
   */
  async follow(
    id: string,
    options: {
      readonly signal: AbortSignal;
      readonly takenWithinMs: number;
      readonly onStatus?: (status: RequestStatus) => void;
    },
  ): Promise<RequestResult> {
    const since = this.#clock.monotonic();
    let told = '';
    for (;;) {
      const status = await this.status(id);
      if (status && JSON.stringify(status) !== told) options.onStatus?.(status);
      told = JSON.stringify(status) ?? '';
      if (status?.result) return status.result;
      if (!status && this.#clock.monotonic() - since > options.takenWithinMs) {
        if (await this.withdraw(id)) throw notTaken();
      }
      await this.#clock.sleep(200, options.signal);
    }
  }

  /** Takes a request back. False: the daemon has begun with it, and goes on. */
  async withdraw(id: string): Promise<boolean> {
    try {
      await rm(join(this.#folder, requestFile(id)));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
      throw error;
    }
    await this.#removePayload(id);
    return true;
  }

  async #removePayload(id: string): Promise<void> {
    await rm(join(this.#folder, `.${requestFile(id)}.tmp`), { force: true });
    await rm(join(this.#folder, id), { recursive: true, force: true });
  }

  async #copyPayload(file: string, id: string, owner: Owner): Promise<void> {
    const folder = join(this.#folder, id);
    await mkdir(folder, { mode: 0o700 });
    const copy = join(folder, basename(file));
    await copyFile(file, copy);
    await giveTo(copy, owner);
    await giveTo(folder, owner);
  }

  /** A daemon that has just been started makes the folder in a moment, beside those that are mounted. */
  async #owner(signal: AbortSignal): Promise<Owner> {
    const since = this.#clock.monotonic();
    for (;;) {
      try {
        const { uid, gid } = await stat(this.#folder);
        return { uid, gid };
      } catch (error) {
        const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
        const isOver = this.#clock.monotonic() - since >= STARTING_MS;
        if (!isMissing || isOver || !existsSync(dirname(this.#folder))) {
          throw noDaemon(this.#folder, error);
        }
      }
      await this.#clock.sleep(200, signal);
    }
  }
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** `docker exec` is often root, the daemon is not: it must be able to read and remove our files. */
async function giveTo(path: string, owner: Owner): Promise<void> {
  if (process.geteuid?.() === 0) await chown(path, owner.uid, owner.gid);
}

function notTaken(): DropbackError {
  return new DropbackError('request/not-taken', 'no db-restore daemon has taken the request', {
    hint: 'see whether db-restore runs and what it logs; it takes one restore at a time.',
    retryable: true,
  });
}
