/** What is inside an archive or a drop, once decompressed. */
export type ArchiveFormat =
  /** `pg_dump -Fc` */
  | 'postgres-custom'
  /** `pg_dump -Fd`, as a folder or in a tar */
  | 'postgres-directory'
  /** `pg_dump -Fp` */
  | 'postgres-plain'
  /** A database file */
  | 'sqlite-file'
  /** `sqlite3 .dump` */
  | 'sqlite-plain';

export type Compression = 'none' | 'gzip' | 'zstd';
