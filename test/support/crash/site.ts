/** Which of the two contents of a site is meant; each site knows how to make both. */
export type Content = 'A' | 'B';

/** What `live` says where there is no database. */
export const NOTHING = 'nothing';

/** A live database that restores turn from one content into the other, and back. */
export interface CrashSite extends AsyncDisposable {
  readonly name: string;
  /** For db-restore. */
  environment(): Readonly<Record<string, string>>;
  /** A dump of this content. */
  dumpOf(content: Content): string;
  /** What is live now, whole: `A`, `B`, or `nothing`; anything else is described. */
  live(): Promise<string>;
  /** The same of the kept databases; `folder` is where db-restore has what it keeps as files. */
  kept(folder: string): Promise<string[]>;
  /** Target of a restore beside the live database. */
  readonly side: string;
  /** Its content, as `live`; undefined where there is none. */
  sideContent(): Promise<string | undefined>;
  removeSide(): Promise<void>;
  /** As on a new machine: no live database. */
  removeLive(): Promise<void>;
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
