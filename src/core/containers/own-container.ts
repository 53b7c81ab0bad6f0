import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';

/**
 * The id of the container that this process runs in, or its beginning (12 hex digits at least);
 * undefined outside a container. Sources, best first: the files that the engine mounts into every
 * container, the control group (version 1), the host name, which is the short id by default.
 */
export function ownContainerId(
  read: (path: string) => string = (path) => readFileSync(path, 'utf8'),
  host: string = hostname(),
): string | undefined {
  const mounted = readOrNothing(read, '/proc/self/mountinfo')
    .split('\n')
    .filter((line) => / \/etc\/(hostname|hosts|resolv\.conf) /.test(line))
    .map((line) => /\/([0-9a-f]{64})\//.exec(line)?.[1])
    .find((id) => id !== undefined);
  const grouped = /[/-]([0-9a-f]{64})(?:\.scope)?$/m.exec(readOrNothing(read, '/proc/self/cgroup'));
  return mounted ?? grouped?.[1] ?? (/^[0-9a-f]{12}$/.test(host) ? host : undefined);
}

function readOrNothing(read: (path: string) => string, path: string): string {
  try {
    return read(path);
  } catch {
    return '';
  }
}
