import { basename } from 'node:path';
import type { Bench } from '../daemon.ts';
import { Errand } from './errand.ts';
import type { Wanted } from './judge.ts';
import type { Content, CrashSite } from './site.ts';
import { leavesLive, type Walk } from './walks.ts';

const OUTCOMES = {
  drop: 'restored',
  undo: 'undone',
  into: 'restored',
  check: 'checked',
} as const;

/** Round after round: what is asked of db-restore, and what must be there when it is done. */
export class Turns {
  readonly #site: CrashSite;
  readonly #bench: Bench;
  readonly #walk: Walk;
  /** The same, unless a walk leaves the live one alone. */
  #live: Content = 'A';
  #dropped: Content = 'A';
  #rounds = 0;

  constructor(site: CrashSite, bench: Bench, walk: Walk) {
    this.#site = site;
    this.#bench = bench;
    this.#walk = walk;
  }

  async next(): Promise<{ readonly errand: Errand; readonly wanted: Wanted }> {
    const before = this.#dropped;
    const content = before === 'A' ? 'B' : 'A';
    const { fromNothing = false } = this.#walk;
    // There is nothing to undo before something was restored.
    const kind = this.#walk.kind === 'undo' && this.#rounds === 0 ? 'drop' : this.#walk.kind;
    const file = this.#site.dumpOf(content);
    const extension = basename(file).slice(basename(file).indexOf('.'));
    const name = `round-${++this.#rounds}${extension}`;
    const errand = new Errand(this.#bench, kind, { file, name, side: this.#site.side });
    this.#dropped = content;
    if (fromNothing) await this.#site.removeLive();
    const isLeft = leavesLive(this.#walk);
    if (!isLeft) this.#live = content;
    const wanted: Wanted = {
      outcome: OUTCOMES[kind],
      live: this.#live,
      kept: isLeft || fromNothing ? [] : [before],
      side: kind === 'into' ? content : undefined,
    };
    return { errand, wanted };
  }
}
