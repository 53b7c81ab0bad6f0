import type { FileIdentity } from './protocol.ts';

/**
 * Whether a file is the one whose `dev:inode` was noted, perhaps before the host was restarted: by
 * the inode. Devices may be numbered anew then (LVM, btrfs, ZFS, network mounts), and all that is
 * noted lies in the folder of the live file.
 */
export function isNoted(
  found: Pick<FileIdentity, 'identity'> | null | undefined,
  noted: string | null,
): boolean {
  return found != null && noted !== null && inodeOf(found.identity) === inodeOf(noted);
}

function inodeOf(identity: string): string {
  return identity.slice(identity.indexOf(':') + 1);
}
