import { createRequire } from 'node:module';
import type Dockerode from 'dockerode';
import { http } from '../runtime/http.ts';

/**
 * dockerode with what these programs need of it: the API over a socket or TCP. Left to itself it loads
 * SSH (with WebAssembly), gRPC, tar and TLS at once, 20 MB for ways to Docker that nobody takes here.
 *
 * Its own HTTP follows redirects, off the socket and to any host, and a failure there is an uncaught
 * exception that would end the daemon in the middle of a restore. Node's, which takes its place, has
 * a redirect be the answer that it is.
 */
export const Docker = load();

function load(): typeof Dockerode {
  const here = createRequire(import.meta.url);
  const dockerode = createRequire(here.resolve('dockerode'));
  const modem = createRequire(dockerode.resolve('docker-modem'));
  put(modem, './http', { http });
  for (const unused of ['./ssh', './http_duplex']) put(modem, unused, notLoaded(unused));
  for (const unused of ['./session', 'tar-fs']) put(dockerode, unused, notLoaded(unused));
  return here('dockerode') as typeof Dockerode;
}

/** The copy that exactly this package would load. Throws where a new version has no such file. */
function put(from: NodeJS.Require, request: string, exports: unknown): void {
  const path = from.resolve(request);
  from.cache[path] ??= { id: path, filename: path, loaded: true, exports } as NodeJS.Module;
}

function notLoaded(name: string): () => never {
  return () => {
    throw new Error(`${name} is left out: see lean-dockerode.ts`);
  };
}
