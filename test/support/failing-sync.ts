import { readlinkSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

/** Folders below which fsync(2) reports EIO in this process, as a failing disk does. */
const failing = new Set<string>();
let isInstalled = false;

/** Until it is disposed of, nothing below the folder can be made durable. */
export async function failSyncBelow(folder: string): Promise<Disposable> {
  await install();
  failing.add(folder);
  return { [Symbol.dispose]: () => failing.delete(folder) };
}

async function install(): Promise<void> {
  if (isInstalled) return;
  isInstalled = true;
  await using any = await open('/dev/null');
  const prototype = Object.getPrototypeOf(any) as Pick<FileHandle, 'sync' | 'fd'>;
  const sync = prototype.sync;
  prototype.sync = async function (this: FileHandle) {
    const path = readlinkSync(`/proc/self/fd/${this.fd}`);
    if ([...failing].some((folder) => path.startsWith(folder))) {
      throw Object.assign(new Error('EIO: i/o error, fsync'), { code: 'EIO', syscall: 'fsync' });
    }
    return await sync.call(this);
  };
}
