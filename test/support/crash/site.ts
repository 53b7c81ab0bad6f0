/** Which of the two contents of a site is meant; each site knows how to make both. */
export type Content = 'A' | 'B';

/** A live database that restores turn from one content into the other, and back. */
export interface CrashSite extends AsyncDisposable {
  readonly name: string;
  /** For db-restore. */
  environment(): Readonly<Record<string, string>>;
  /** A dump of this content. */
  dumpOf(content: Content): string;
  /** What is live now, whole: `A` or `B`; anything else is described. */
  live(): Promise<string>;
  /** The same of the kept databases. */
  kept(): Promise<string[]>;
  /** Whatever a restore makes beside the live database and doesn't leave: nothing, when idle. */
  leftovers(): Promise<string[]>;
}

/** Rows of a table `items (id, v)`, where each `v` says which content it belongs to. */
export const ITEMS = 300;

/** From `v` and how many rows have it. */
export function contentOf(rows: readonly { v: string; n: number }[]): string {
  const [only] = rows;
  if (rows.length === 1 && only && only.n === ITEMS) return only.v;
  return `mixed: ${JSON.stringify(rows)}`;
}
