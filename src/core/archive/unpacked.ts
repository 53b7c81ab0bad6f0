import type { ScriptSummary } from '../engines/postgres/script/summary.ts';
import type { ArchiveFormat } from './format.ts';
import type { Manifest } from './manifest.ts';
import type { Packing } from './packed-content.ts';

/**
 * A claimed drop, recognised by content: decompressed whole into its own work folder, save a script for
 * PostgreSQL, which is read from its beginning to its end and so is never stored.
 */
export interface UnpackedDrop {
  /** The name under which it was dropped, for messages. */
  readonly fileName: string;
  readonly format: ArchiveFormat;
  /** The decompressed file; for `postgres-directory` the folder that holds toc.dat. */
  readonly path: string;
  /** Where `path` is the file as it was dropped: how its content is packed. For `pipeContent`. */
  readonly packed?: Packing;
  /** What is in a script, where it was read to its end in the drop folder already. */
  readonly script?: ScriptSummary;
  /** Of a packed file its own size: how much is in it is seen when it is read. */
  readonly contentBytes: number;
  /** Of the file as dropped, hex. */
  readonly sha256: string;
  /** Our own manifest with that sha256, when a store lists one: the file is then trusted. */
  readonly manifest?: Manifest;
  /** The user renamed it to `name.force.<ext>`: the not-the-same-application check is off. */
  readonly force: boolean;
}
