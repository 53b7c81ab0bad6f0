import { copyFile, mkdir, readFile, rename } from 'node:fs/promises';
import { RequestClient } from '../../../src/core/requests/client.ts';
import type { RequestResult } from '../../../src/core/requests/protocol.ts';
import type { RestoreReport } from '../../../src/core/requests/report.ts';
import { systemClock } from '../../../src/core/runtime/clock.ts';
import type { Bench } from '../daemon.ts';

/** A file in the drop folder, or what the CLI asks for: each walks through other steps. */
export type Kind = 'drop' | 'undo' | 'into' | 'check';

const never = new AbortController().signal;

/** What one round asks of db-restore, and what has become of it so far. */
export class Errand {
  readonly kind: Kind;
  readonly #bench: Bench;
  readonly #client: RequestClient;
  readonly #file: string;
  readonly #name: string;
  readonly #side: string;
  #requestId = '';

  /** `file` is the dump, `name` what it is called there; `side` the target of `into`. */
  constructor(
    bench: Bench,
    kind: Kind,
    { file, name, side }: { readonly file: string; readonly name: string; readonly side: string },
  ) {
    this.kind = kind;
    this.#bench = bench;
    this.#client = new RequestClient(bench.path('restore', 'requests'), systemClock);
    this.#file = file;
    this.#name = name;
    this.#side = side;
  }

  async submit(): Promise<void> {
    const copy = this.#bench.path(this.#name);
    if (this.kind !== 'undo') await copyFile(this.#file, copy);
    if (this.kind === 'drop') {
      await mkdir(this.#bench.path('restore', 'incoming'), { recursive: true });
      await rename(copy, this.#bench.path('restore', 'incoming', this.#name));
      return;
    }
    const ask = {
      undo: { kind: 'undo' },
      check: { kind: 'check', file: copy },
      into: { kind: 'restore', file: copy, into: this.#side },
    } as const;
    this.#requestId = await this.#client.submit(ask[this.kind], never);
  }

  /** The daemon has begun with it. */
  async isTaken(): Promise<boolean> {
    const isDrop = this.kind === 'drop';
    const waiting = await this.#bench.files('restore', isDrop ? 'incoming' : 'requests');
    return !waiting.includes(isDrop ? this.#name : `${this.#requestId}.json`);
  }

  /** The end is durable and told, and the journal says that nothing is in hand. */
  async isEnded(): Promise<boolean> {
    const isTold = this.kind === 'drop' ? await this.report() : await this.result();
    if (!isTold) return false;
    const path = this.#bench.path('restore', 'state.json');
    const text = await readFile(path, 'utf8').catch(() => '');
    const { body } = JSON.parse(text || '{}') as { body?: { record: unknown } };
    return body !== undefined && body.record === null;
  }

  /** What the one who asked is told. */
  async result(): Promise<RequestResult | undefined> {
    return (await this.#client.status(this.#requestId))?.result;
  }

  /** The daemon died before it began, and says so: whoever asked asks again. */
  async wasNotBegun(): Promise<boolean> {
    if (this.kind === 'drop') return false;
    return (await this.result())?.error?.code === 'request/interrupted';
  }

  async report(): Promise<(RestoreReport & { folder: 'done' | 'failed' }) | undefined> {
    if (this.kind !== 'undo') return await this.#bench.report(this.#name);
    for (const folder of ['done', 'failed'] as const) {
      const file = (await this.#bench.files('restore', folder)).find(this.#isOwn);
      if (file) return await this.#bench.report(file);
    }
    return undefined;
  }

  /** Names in done/ that are there for this one. */
  async filed(): Promise<string[]> {
    return (await this.#bench.files('restore', 'done')).filter(this.#isOwn);
  }

  /** How many names there must be: a request leaves its report alone. */
  get filesWanted(): number {
    return this.kind === 'drop' ? 2 : 1;
  }

  readonly #isOwn = (file: string): boolean =>
    this.kind === 'undo'
      ? file.includes(this.#requestId)
      : file.startsWith(this.#name) || file.includes(`-${this.#name}`);
}
