import type { ArchiveFormat } from './format.ts';
import type { Manifest } from './manifest.ts';

/** A claimed drop, decompressed whole into its own work folder, recognised by content. */
export interface UnpackedDrop {
  /** The name under which it was dropped, for messages. */
  readonly fileName: string;
  readonly format: ArchiveFormat;
  /** The decompressed file; for `postgres-directory` the folder that holds toc.dat. */
  readonly path: string;
  readonly contentBytes: number;
  /** Of the file as dropped, hex. */
  readonly sha256: string;
  /** Our own manifest with that sha256, when a store lists one: the file is then trusted. */
  readonly manifest?: Manifest;
  /** The user renamed it to `name.force.<ext>`: the not-the-same-application check is off. */
  readonly force: boolean;
}
