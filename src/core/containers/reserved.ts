import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { ContainerState } from './runtime.ts';

/** An address that a restore itself needs: whoever answers there may not be stopped. */
export interface ReservedAddress {
  /** For messages: `the database`. */
  readonly what: string;
  readonly host: string;
  readonly port: number;
}

/** A resolver that hangs must not hold up restores; the name is unknown then. */
const LOOKUP_MS = 2000;

/** The reserved address that this container answers at, now that it runs; undefined for none. */
export async function reservedBy(
  container: ContainerState,
  reserved: readonly ReservedAddress[],
): Promise<ReservedAddress | undefined> {
  for (const address of reserved) {
    const found = await resolve(address.host);
    if (found.some((ip) => container.addresses.includes(ip))) return address;
    const isPublished = container.publishedPorts.includes(address.port);
    if (isPublished && found.some(isLoopback)) return address;
  }
  return undefined;
}

async function resolve(host: string): Promise<string[]> {
  // A folder: the server is reached by a Unix socket.
  if (host.startsWith('/')) return [];
  if (isIP(host) !== 0) return [host];
  const known = lookup(host, { all: true }).then((found) => found.map(({ address }) => address));
  const late = new AbortController();
  try {
    return await Promise.race([
      known,
      delay<string[]>(LOOKUP_MS, [], { signal: late.signal, ref: false }),
    ]);
  } catch {
    // Without an address nobody is there who could be stopped.
    return [];
  } finally {
    late.abort();
  }
}

function isLoopback(ip: string): boolean {
  return ip === '::1' || ip.startsWith('127.');
}
