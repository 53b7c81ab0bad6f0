import { describe, expect, it } from 'vitest';
import { ownContainerId } from '../../../src/core/containers/own-container.ts';

const id = 'ab'.repeat(32);
const other = 'cd'.repeat(32);

describe('the id of our own container', () => {
  const files = (all: Record<string, string>) => (path: string) => {
    const text = all[path];
    if (text === undefined) throw new Error('ENOENT');
    return text;
  };

  it.each([
    [
      'mounts',
      {
        '/proc/self/mountinfo': `1 2 8:1 /var/lib/docker/containers/${other}/x /data rw - ext4\n3 2 8:1 /var/lib/docker/containers/${id}/hostname /etc/hostname rw - ext4`,
      },
      'web',
      id,
    ],
    ['the control group', { '/proc/self/cgroup': `12:pids:/docker/${id}\n` }, 'web', id],
    [
      'systemd’s control group',
      { '/proc/self/cgroup': `0::/system.slice/docker-${id}.scope\n` },
      'web',
      id,
    ],
    ['the host name', {}, id.slice(0, 12), id.slice(0, 12)],
  ])('is read from %s', (_, all, host, expected) => {
    expect(ownContainerId(files(all as Record<string, string>), host)).toBe(expected);
  });

  it('is undefined outside a container', () => {
    expect(ownContainerId(files({ '/proc/self/cgroup': '0::/\n' }), 'laptop')).toBeUndefined();
  });
});
