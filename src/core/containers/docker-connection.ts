import type Dockerode from 'dockerode';
import { abortedError, throwIfAborted } from '../runtime/errors.ts';
import { http } from '../runtime/http.ts';
import { callError, type Deed, unreachable } from './docker-errors.ts';
import { Docker } from './lean-dockerode.ts';

/** One Docker API, over `unix:///path` or `tcp://host:port`; every call has its own time-out. */
export class DockerConnection {
  readonly host: string;
  readonly docker: Dockerode;

  constructor(host: string) {
    this.host = host;
    // A kept-alive connection to an engine that restarted fails the next call for nothing.
    const agent = new http.Agent({ keepAlive: false });
    // `undefined` keeps docker-modem from taking these from the process's environment.
    const nothing = { ca: undefined, cert: undefined, key: undefined, timeout: undefined };
    const address = addressOf(host);
    this.docker = new Docker({ ...nothing, ...address, agent, protocol: 'http' } as object);
  }

  /**
   * Settles within `timeoutMs`, whatever the connection does: dockerode never calls back when the
   * connection breaks in the middle of an answer, and sets no time-out of its own.
   */
  async call<T>(
    deed: Deed,
    timeoutMs: number,
    signal: AbortSignal,
    request: (options: { abortSignal: AbortSignal }) => Promise<T>,
    translate?: (error: unknown) => T | undefined,
  ): Promise<T> {
    throwIfAborted(signal);
    const ending = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    let onAbort: (() => void) | undefined;
    const cutShort = new Promise<never>((_, reject) => {
      const noAnswer = () => new Error(`no answer within ${timeoutMs / 1000} s`);
      timer = setTimeout(() => reject(unreachable(this.host, deed, noAnswer())), timeoutMs);
      onAbort = () => reject(abortedError(signal));
      signal.addEventListener('abort', onAbort, { once: true });
    });
    try {
      return await Promise.race([request({ abortSignal: ending.signal }), cutShort]);
    } catch (error) {
      const translated = translate?.(error);
      if (translated !== undefined) return translated;
      throw callError(this.host, deed, error);
    } finally {
      clearTimeout(timer);
      if (onAbort) signal.removeEventListener('abort', onAbort);
      // Closes what is still open; a finished request doesn't mind.
      ending.abort();
    }
  }
}

function addressOf(host: string): object {
  if (host.startsWith('unix://')) {
    return { socketPath: host.slice('unix://'.length), host: undefined, port: undefined };
  }
  const url = new URL(host.replace(/^tcp:/, 'http:'));
  return { socketPath: undefined, host: `http://${url.hostname}`, port: Number(url.port || 80) };
}
