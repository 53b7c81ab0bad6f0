import { once } from 'node:events';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { DropbackError, messageOf, throwIfAborted } from '../runtime/errors.ts';
import type { Redactor } from '../runtime/redact.ts';

/**
 * Whether somebody listens at an http or https address, with a certificate that is trusted: connects
 * and sends no request. Errors: `alert/unreachable`, `run/aborted`.
 */
export async function reach(
  address: string,
  options: { readonly redactor: Redactor; readonly timeoutMs: number },
  signal: AbortSignal,
): Promise<void> {
  throwIfAborted(signal);
  const url = new URL(address);
  const timeout = AbortSignal.timeout(options.timeoutMs);
  const socket = await beginConnection(url);
  // What comes after we have given up is nobody's concern.
  socket.on('error', () => {});
  try {
    const ready = url.protocol === 'https:' ? 'secureConnect' : 'connect';
    await once(socket, ready, { signal: AbortSignal.any([signal, timeout]) });
  } catch (error) {
    throwIfAborted(signal);
    const reason = timeout.aborted ? 'no answer in time' : options.redactor.line(messageOf(error));
    // The path may be the secret: the host alone is named.
    throw new DropbackError('alert/unreachable', `${url.host} could not be reached: ${reason}`, {
      hint: 'see whether this container may reach that address, and trusts its certificate.',
      facts: { host: url.host },
      retryable: true,
    });
  } finally {
    socket.destroy();
  }
}

async function beginConnection({ protocol, hostname, port }: URL): Promise<Socket> {
  const host = hostname.replace(/^\[|\]$/g, '');
  if (protocol !== 'https:') return connectTcp({ host, port: Number(port || 80) });
  // Only few ask for it.
  const { connect } = await import('node:tls');
  const name = isIP(host) ? {} : { servername: host };
  return connect({ host, port: Number(port || 443), ...name });
}
