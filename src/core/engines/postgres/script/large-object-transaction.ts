import type { StatementEvent } from './events.ts';
import { transactionControl } from './refusals.ts';

/** pg_dump writes BEGIN and COMMIT around the contents of large objects, and nowhere else. */
export class LargeObjectTransaction {
  #openedAt: StatementEvent | undefined;

  /** What a transaction command does. Throws `drop/transaction-control` for any but these two. */
  control(event: StatementEvent): 'opened' | 'ended' {
    const text = event.bytes.toString('latin1').trim().toUpperCase();
    if (text === 'BEGIN;' && !this.#openedAt) {
      this.#openedAt = { ...event, bytes: Buffer.from(event.bytes) };
      return 'opened';
    }
    if (text === 'COMMIT;' && this.#openedAt) {
      this.#openedAt = undefined;
      return 'ended';
    }
    throw transactionControl(event.bytes.toString('utf8'), event);
  }

  /** For every statement that is not about large objects. Throws `drop/transaction-control`. */
  requireNone(): void {
    if (!this.#openedAt) return;
    throw transactionControl(this.#openedAt.bytes.toString('utf8'), this.#openedAt);
  }
}
