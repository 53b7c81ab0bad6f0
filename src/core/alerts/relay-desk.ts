import type { Alert, News } from './alert.ts';

/** Who takes alerts of another daemon's, to tell them. */
export interface RelayTarget {
  /** It was taken before. */
  knows(id: string): boolean;
  accept(alert: Alert): Promise<void>;
  tell(news: News): Promise<void>;
}

/**
 * Where the alerts of another daemon with several databases go: to the outbox of the database that
 * they are of, so that its own people hear of them; to the first that has any way out where that one
 * has none.
 */
export class RelayDesk implements RelayTarget {
  /** Names of the databases that have a way out, in the order of the file. */
  readonly #names: readonly string[];
  readonly #present = new Map<string, RelayTarget>();

  constructor(names: readonly string[]) {
    this.#names = names;
  }

  /** Until the function is called that this returns. */
  join(name: string, target: RelayTarget): () => void {
    if (this.#names.includes(name)) this.#present.set(name, target);
    return () => {
      if (this.#present.get(name) === target) this.#present.delete(name);
    };
  }

  /** Nobody has a way out. */
  get isEmpty(): boolean {
    return this.#names.length === 0;
  }

  knows(id: string): boolean {
    return [...this.#present.values()].some((target) => target.knows(id));
  }

  /** Its database's daemon may just be begun anew: then it is left where it is, until the next look. */
  async accept(alert: Alert): Promise<void> {
    await this.#targetOf(alert.source.name)?.accept(alert);
  }

  async tell(news: News): Promise<void> {
    await this.#targetOf(undefined)?.tell(news);
  }

  #targetOf(name: string | undefined): RelayTarget | undefined {
    const [first] = this.#names;
    const own = name !== undefined && this.#names.includes(name) ? name : first;
    return own === undefined ? undefined : this.#present.get(own);
  }
}
