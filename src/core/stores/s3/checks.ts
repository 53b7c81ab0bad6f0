import { randomBytes } from 'node:crypto';
import type { CheckResult } from '../../engines/engine.ts';
import { throwIfAborted, toDropbackError } from '../../runtime/errors.ts';
import { MAY_NOT_DELETE } from '../store-errors.ts';
import type { Bucket } from './bucket.ts';
import { isNotImplemented } from './errors.ts';
import { type Keys, PROBE_NAME } from './list-bucket.ts';
import { putObject } from './put-object.ts';

/**
 * Does with a probe object what a backup does with its own: writes, reads, lists, deletes. A daemon
 * that only reads (`readOnly`) lists alone; one that may not prune isn't expected to delete.
 */
export async function s3Checks(
  bucket: Bucket,
  keys: Keys,
  readOnly: boolean,
  signal: AbortSignal,
): Promise<CheckResult[]> {
  const listing = await attempt('s3/list', 'objects can be listed', signal, async () => {
    for await (const _ of bucket.list(keys.folder, signal)) break;
  });
  if (readOnly || listing.status !== 'ok') return [listing];
  const key = `${keys.folder}${PROBE_NAME}-${randomBytes(6).toString('hex')}`;
  const bytes = randomBytes(32);
  const writing = await attempt('s3/write', 'objects can be written', signal, () =>
    putObject(bucket, key, { bytes }, bucket.protection(), signal),
  );
  if (writing.status !== 'ok') return [listing, writing];
  const reading = await attempt('s3/read', 'objects can be read', signal, async () => {
    const read = await bucket.read(key, signal);
    if (read === undefined || !bytes.equals(read)) throw new Error('it is not what was written');
  });
  const conditional = await conditionalCheck(bucket, key, signal);
  const deleting = await deletionCheck(bucket, key, signal);
  return [listing, writing, reading, conditional, deleting];
}

async function attempt(
  id: string,
  message: string,
  signal: AbortSignal,
  work: () => Promise<unknown>,
): Promise<CheckResult> {
  throwIfAborted(signal);
  try {
    await work();
    return { id, status: 'ok', message };
  } catch (error) {
    throwIfAborted(signal);
    const known = toDropbackError(error);
    return { id, status: 'failed', message: known.message, hint: known.hint };
  }
}

/** Whether the endpoint itself keeps objects from being overwritten. */
async function conditionalCheck(
  bucket: Bucket,
  key: string,
  signal: AbortSignal,
): Promise<CheckResult> {
  const id = 's3/conditional-writes';
  const weak = 'the endpoint does not refuse to overwrite; dropback looks before it writes';
  try {
    await bucket.calls.run(
      'a write that must be refused',
      ({ sdk, client }, abortSignal) => {
        const input = { Bucket: bucket.name, Key: key, Body: 'probe', IfNoneMatch: '*' };
        return client.send(new sdk.PutObjectCommand(input), { abortSignal });
      },
      signal,
    );
  } catch (error) {
    throwIfAborted(signal);
    const known = toDropbackError(error);
    if (known.code === 'store/exists') {
      return { id, status: 'ok', message: 'the endpoint refuses to overwrite' };
    }
    if (!isNotImplemented(error)) {
      return { id, status: 'warning', message: known.message, hint: known.hint };
    }
  }
  const hint = 'let no two daemons write under one BACKUP_NAME and S3_PREFIX.';
  return { id, status: 'warning', message: weak, hint };
}

/** Who may not delete is no worse off for it: backups are made, and stay. */
async function deletionCheck(
  bucket: Bucket,
  key: string,
  signal: AbortSignal,
): Promise<CheckResult> {
  const id = 's3/delete';
  try {
    await bucket.delete(key, signal);
    return { id, status: 'ok', message: 'objects can be deleted' };
  } catch (error) {
    throwIfAborted(signal);
    const { code, message, hint } = toDropbackError(error);
    if (code !== 'store/refused') return { id, status: 'failed', message, hint };
    if (bucket.calls.config.prune) return { id, status: 'warning', message, hint: MAY_NOT_DELETE };
    const expected = 'objects cannot be deleted, and S3_PRUNE=false says that nobody will';
    return { id, status: 'ok', message: expected };
  }
}
