import { readFileSync } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DropbackError } from '../../runtime/errors.ts';
import { requireProgram } from '../../runtime/process/find-program.ts';
import { identityUnlessOurs, type UserIdentity } from '../../runtime/process/program.ts';

/** Where a database file really lies, and as whom it is worked on. */
export interface Location {
  /** Absolute, links resolved: SQLite keeps -wal and -journal beside the real file. */
  readonly path: string;
  readonly folder: string;
  readonly base: string;
  /** False where the file is missing. Where the daemon may not look, the tool finds out. */
  readonly exists: boolean;
  /** Of the file; of its folder where there is no file. */
  readonly owner: UserIdentity;
  /** Undefined when the daemon may do it as itself. */
  readonly runAs: UserIdentity | undefined;
}

/**
 * Throws `database/missing` (retryable) without the folder, `<purpose>/not-owner` where this process
 * may not act as the owner: another uid that reads a WAL database takes its -wal and -shm away from
 * the application.
 */
export async function locate(path: string, purpose: 'backup' | 'restore'): Promise<Location> {
  const real = await resolve(path);
  const { exists, owner } = await ownerOf(real);
  const runAs = actingAs(owner, real, purpose);
  return { path: real, folder: dirname(real), base: basename(real), exists, owner, runAs };
}

async function resolve(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'EACCES') return path;
    if (code !== 'ENOENT') throw error;
  }
  try {
    return join(await realpath(dirname(path)), basename(path));
  } catch (cause) {
    if (systemCode(cause) === 'EACCES') return path;
    throw new DropbackError('database/missing', `the folder of ${path} does not exist`, {
      hint: "mount the application's data volume here too, and check the path.",
      retryable: true,
      facts: { path },
      cause,
    });
  }
}

async function ownerOf(path: string): Promise<{ exists: boolean; owner: UserIdentity }> {
  try {
    const { uid, gid } = await stat(path);
    return { exists: true, owner: { uid, gid } };
  } catch (error) {
    const code = systemCode(error);
    if (code !== 'ENOENT' && code !== 'EACCES') throw error;
    const { uid, gid } = await stat(dirname(path));
    return { exists: code === 'EACCES', owner: { uid, gid } };
  }
}

/** The identity to start tools with, or undefined when ours will do. */
export function actingAs(
  owner: UserIdentity,
  path: string,
  purpose: 'backup' | 'restore',
): UserIdentity | undefined {
  const identity = identityUnlessOurs(owner);
  if (!identity) return undefined;
  if (mayBecomeOthers()) {
    requireProgram('setpriv', 'util-linux');
    return identity;
  }
  // Same user, other group: what we create is the user's all the same.
  if (process.geteuid?.() === owner.uid) return undefined;
  const caps = 'cap_add: [SETUID, SETGID, KILL, CHOWN], as docker-compose.backup.yml does';
  const hint =
    owner.uid === 0
      ? `the application runs as root. Give this container ${caps}; or let the application run as a user of its own, and hand its files over: chown -R ${process.geteuid?.()}:${process.getegid?.()} ${dirname(path)} (PUID and PGID here).`
      : `set PUID=${owner.uid} and PGID=${owner.gid}, or give this container ${caps}.`;
  throw new DropbackError(
    `${purpose}/not-owner`,
    `${path} belongs to uid ${owner.uid}, and this daemon runs as uid ${process.geteuid?.()}`,
    {
      hint,
      facts: { path, ownerUid: owner.uid, ownerGid: owner.gid, uid: process.geteuid?.() },
    },
  );
}

const CAP_SETGID = 6n;
const CAP_SETUID = 7n;

function mayBecomeOthers(): boolean {
  try {
    const status = readFileSync('/proc/self/status', 'latin1');
    const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
    return ((effective >> CAP_SETUID) & (effective >> CAP_SETGID) & 1n) === 1n;
  } catch {
    return process.geteuid?.() === 0;
  }
}

function systemCode(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | null)?.code;
}
