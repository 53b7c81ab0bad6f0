/** A database and the machine that backs it up. */
export interface Site {
  /** Of the database. */
  readonly bytes: number;
  readonly tables: number;
  /** The largest table's part of the whole, 0 to 1. */
  readonly largest: number;
  /** For the dump: the server's and the client's, whether or not they are the same. */
  readonly cores: number;
  /** What the backup volume reads and writes, bytes a second. */
  readonly disk: number;
  /** To the bucket, bytes a second; undefined: no S3. */
  readonly line?: number;
  /** Rows of the database that are replaced or deleted in an hour, 0 to 1. */
  readonly churn: number;
}

/** Bytes of the tables of a database, the largest first; behind it each is a part of the one before, as 1, 1/2, 1/3 … */
export function tableSizes({ bytes, tables, largest }: Site): number[] {
  if (tables === 1) return [bytes];
  const weights = Array.from({ length: tables - 1 }, (_, index) => 1 / (index + 1));
  const rest = (bytes * (1 - largest)) / weights.reduce((sum, weight) => sum + weight, 0);
  const others = weights.map((weight) => weight * rest);
  return [bytes * largest, ...others].toSorted((one, other) => other - one);
}
