import type { Client } from 'pg';
import type { PostgresConnection } from '../../config/config.ts';
import { abortedError, DropbackError, throwIfAborted } from '../../runtime/errors.ts';
import { parseVersion } from './clients.ts';
import { cancelStatement } from './connection-cancel.ts';
import { queryError } from './connection-errors.ts';
import type { TlsAttempt } from './connection-tls.ts';

export interface Notice {
  /** Translated by the server; `NOTICE`, `WARNING` and the like in English servers. */
  readonly severity: string;
  readonly message: string;
}

/** Milliseconds that a cancelled statement gets before the connection is cut. */
const CANCEL_GRACE_MS = 3000;
const CLOSE_GRACE_MS = 2000;
/** By how much a server may be late to say that a statement has met its limit of time: a quarter. */
const LEAST_GRACE_MS = 1000;

/**
 * One server session. Statements run one at a time, in the order in which they were asked for.
 *
 * - `query` rejects with `database/query-failed` (facts: sqlstate), `database/unreachable`
 *   (retryable) when the connection is gone, or `run/aborted` once the statement has really ended
 *   (or the connection was cut, because it would not end). A statement that has a limit of time, and
 *   whose server doesn't even say that it is over, is `database/unreachable`: the server hangs.
 * - `lost` fires when the connection ends before it is disposed, also while it is idle.
 */
export class Session implements AsyncDisposable {
  /** For example `18.6`, without what distributions append. */
  version = '';
  major = 0;
  /** server_version_num, for example 180006. */
  versionNumber = 0;
  backendPid = 0;
  /** Description without secrets. */
  readonly where: string;
  readonly #client: Client;
  readonly #connection: PostgresConnection;
  readonly #tls: TlsAttempt;
  readonly #signal: AbortSignal;
  /** Milliseconds; 0 is none. */
  readonly #answerWithinMs: number;
  readonly #lost = new AbortController();
  readonly #noticeListeners = new Set<(notice: Notice) => void>();
  #tail: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | undefined;
  #opened = false;

  constructor(
    client: Client,
    connection: PostgresConnection,
    tls: TlsAttempt,
    where: string,
    signal: AbortSignal,
    statementTimeoutMs: number,
  ) {
    const graceMs = Math.max(LEAST_GRACE_MS, statementTimeoutMs / 4);
    this.#answerWithinMs = statementTimeoutMs > 0 ? statementTimeoutMs + graceMs : 0;
    this.#client = client;
    this.#connection = connection;
    this.#tls = tls;
    this.where = where;
    this.#signal = signal;
    // Always heard: an 'error' event without a listener would end the daemon.
    client.on('error', (error: Error) => this.#loseBecause(error));
    client.on('end', () => this.#loseBecause(new Error('the connection ended unexpectedly')));
    client.on('notice', (notice) => {
      const { severity = 'NOTICE', message = '' } = notice;
      for (const listener of this.#noticeListeners) listener({ severity, message });
    });
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Connects. Rejects with the driver's own error, for the caller to judge. */
  async open(): Promise<void> {
    const onAbort = () => this.#cut();
    this.#signal.addEventListener('abort', onAbort, { once: true });
    try {
      await this.#client.connect();
      this.#opened = true;
    } finally {
      this.#signal.removeEventListener('abort', onAbort);
    }
  }

  identify(server: { version: string; number: number; backendPid: number }): void {
    const [major, minor] = parseVersion(server.version);
    this.version = /^\d+\.\d+/.test(server.version) ? `${major}.${minor}` : server.version;
    this.major = Math.floor(server.number / 10_000);
    this.versionNumber = server.number;
    this.backendPid = server.backendPid;
  }

  /** Runs one statement and returns its rows. `signal` replaces the session's own. */
  query<Row extends object = Record<string, unknown>>(
    text: string,
    values: readonly unknown[] = [],
    signal: AbortSignal = this.#signal,
  ): Promise<Row[]> {
    const turn = this.#tail.then(() => this.#run<Row>(text, values, signal));
    this.#tail = turn.catch(() => {});
    return turn;
  }

  /** The only row of a statement that always has one. */
  async queryOne<Row extends object = Record<string, unknown>>(
    text: string,
    values: readonly unknown[] = [],
    signal?: AbortSignal,
  ): Promise<Row> {
    const rows = await this.query<Row>(text, values, signal);
    const [row] = rows;
    if (row !== undefined && rows.length === 1) return row;
    throw new DropbackError('internal/row-expected', `one row expected, got ${rows.length}`, {
      hint: 'this is a bug in dropback: please report it with the log.',
    });
  }

  /** Hears the server's notices and warnings; returns the way to stop. */
  onNotice(listener: (notice: Notice) => void): () => void {
    this.#noticeListeners.add(listener);
    return () => this.#noticeListeners.delete(listener);
  }

  /** Ends the session; a statement that still runs is cut off. Never rejects, may be called twice. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #run<Row>(text: string, values: readonly unknown[], signal: AbortSignal): Promise<Row[]> {
    throwIfAborted(signal);
    if (this.lost.aborted) throw this.lost.reason;
    let giveUp: NodeJS.Timeout | undefined;
    let cancelled: Promise<void> | undefined;
    const onAbort = () => {
      cancelled = cancelStatement(this.#connection, this.#tls, this.#key(), CANCEL_GRACE_MS);
      giveUp = setTimeout(() => this.#cut(), CANCEL_GRACE_MS);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    const limit = this.#answerWithinMs > 0 && setTimeout(() => this.#hangs(), this.#answerWithinMs);
    try {
      const result = await this.#client.query({ text, values: [...values] });
      return result.rows as Row[];
    } catch (error) {
      if (signal.aborted) throw abortedError(signal);
      throw this.lost.aborted ? this.lost.reason : queryError(error, this.where);
    } finally {
      signal.removeEventListener('abort', onAbort);
      clearTimeout(giveUp);
      if (limit) clearTimeout(limit);
      // A cancel that is still on its way could hit the next statement (a ROLLBACK, for example).
      await cancelled;
    }
  }

  #key(): { processId: number; secretKey: number } {
    const { processID, secretKey } = this.#client as unknown as Record<string, number | null>;
    return { processId: processID ?? 0, secretKey: secretKey ?? 0 };
  }

  #loseBecause(error: Error): void {
    if (!this.#opened || this.#closing || this.lost.aborted) return;
    const known = queryError(error, this.where);
    this.#lost.abort(
      known.code === 'database/unreachable'
        ? known
        : queryError(new Error(error.message), this.where),
    );
  }

  #hangs(): void {
    const seconds = this.#answerWithinMs / 1000;
    this.#loseBecause(new Error(`the server has not answered for ${seconds} s`));
    this.#cut();
  }

  #cut(): void {
    const { connection } = this.#client as unknown as {
      connection: { stream: { destroy(error?: Error): void } };
    };
    connection.stream.destroy();
  }

  async #close(): Promise<void> {
    const timer = setTimeout(() => this.#cut(), CLOSE_GRACE_MS);
    try {
      await this.#client.end();
    } catch {
      // The connection is gone, which is what was asked for.
    } finally {
      clearTimeout(timer);
    }
  }
}
