import type { Clock } from '../core/runtime/clock.ts';
import type { LocalStore } from '../core/stores/local/store.ts';
import { fileGrowth } from '../core/stores/s3/file-growth.ts';
import type { S3Store } from '../core/stores/s3/store.ts';
import type { EarlyUpload, GrowingSpool } from './run.ts';

/** Sends the parts of a spool to S3 while the dump is still writing it. */
export function earlyUploads(local: LocalStore, remote: S3Store, clock: Clock) {
  return (
    { archiveFile, spool, expectedBytes }: GrowingSpool,
    signal: AbortSignal,
  ): EarlyUpload => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const growth = fileGrowth(spool, promise, clock, signal);
    const growing = remote.beginGrowing(
      archiveFile,
      { path: spool, growth },
      signal,
      expectedBytes,
    );
    return {
      sealed: () => resolve(),
      complete: (manifest, completeSignal) =>
        remote.completeGrowing(
          growing,
          manifest,
          { path: local.archivePath(manifest) },
          completeSignal,
        ),
      abort: () => growing.abort(),
    };
  };
}
