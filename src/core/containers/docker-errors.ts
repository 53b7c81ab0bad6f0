import { DropbackError, messageOf } from '../runtime/errors.ts';

/** What was being done, for messages: `stop the container web`. */
export type Deed = string;

/** The socket is away, the connection broke, or a proxy has no engine behind it. */
export function unreachable(host: string, deed: Deed, cause: unknown): DropbackError {
  return new DropbackError(
    'containers/unreachable',
    `could not ${deed}: Docker at ${host} does not answer (${messageOf(cause).trim()})`,
    {
      hint: 'check that Docker runs, and that its socket or proxy can be reached from this container (DOCKER_HOST).',
      retryable: true,
      facts: { dockerHost: host },
      cause,
    },
  );
}

/** HTTP status of a dockerode error; undefined where no answer came. */
export function statusOf(error: unknown): number | undefined {
  const status = (error as { statusCode?: unknown } | null)?.statusCode;
  return typeof status === 'number' ? status : undefined;
}

/**
 * Faults that can meet any call. What only one kind of call can meet (404, 409, 500 of a stop) is
 * decided where the call is made.
 */
export function callError(host: string, deed: Deed, error: unknown): DropbackError {
  if (error instanceof DropbackError) return error;
  const status = statusOf(error);
  if (status === undefined) {
    const code = (error as NodeJS.ErrnoException | null)?.code;
    return code === 'EACCES' || code === 'EPERM'
      ? notPermitted(host, deed, error)
      : unreachable(host, deed, error);
  }
  // No engine redirects: whoever does isn't one.
  if (status >= 500 || status < 400) return unreachable(host, deed, error);
  return new DropbackError(
    'containers/refused',
    `not allowed to ${deed}: Docker at ${host} answered ${status} (${answerOf(error)})`,
    {
      hint: 'a filtering proxy must let through GET /_ping, /version and /containers/NAME/json, POST /containers/NAME/stop and /start, and for selectors GET /containers/json.',
      facts: { dockerHost: host, status },
      cause: error,
    },
  );
}

function notPermitted(host: string, deed: Deed, cause: unknown): DropbackError {
  return new DropbackError(
    'containers/refused',
    `could not ${deed}: no permission to open Docker's socket at ${host}`,
    {
      hint: 'add the group of the socket (stat -c %g /var/run/docker.sock) with group_add, or set DOCKER_HOST to a filtering proxy.',
      facts: { dockerHost: host },
      cause,
    },
  );
}

/** What the engine or the proxy said, on one short line. */
export function answerOf(error: unknown): string {
  const { json } = error as { json?: unknown };
  const said = (json as { message?: unknown } | null | undefined)?.message;
  const text = typeof said === 'string' ? said : messageOf(error);
  return text.replace(/\s+/g, ' ').trim().slice(0, 300);
}

/** 304: stopped, or started, already. */
export function alreadyDone(error: unknown): true | undefined {
  return statusOf(error) === 304 ? true : undefined;
}

/** Throws what only a start can meet. */
export function startError(name: string, error: unknown): undefined {
  const status = statusOf(error);
  if (status === 404 && /no such container/i.test(answerOf(error))) throw notFound(name);
  // 400, 404 and 409 also stand for a missing program, network or image of the container.
  if (status === 500 || status === 400 || status === 404 || status === 409) {
    throw startFailed(name, answerOf(error), error);
  }
  return undefined;
}

export function notFound(name: string): DropbackError {
  return new DropbackError('containers/not-found', `there is no container called ${name}`, {
    hint: 'docker ps -a --format "{{.Names}}" shows the exact names.',
    facts: { container: name },
  });
}

export function stopFailed(name: string, reason: string, cause?: unknown): DropbackError {
  return new DropbackError(
    'containers/stop-failed',
    `the container ${name} could not be stopped: ${reason}`,
    {
      hint: `try docker stop ${name} by hand, and look at docker logs ${name}.`,
      facts: { container: name },
      cause,
    },
  );
}

export function startFailed(name: string, reason: string, cause?: unknown): DropbackError {
  return new DropbackError(
    'containers/start-failed',
    `the container ${name} could not be started: ${reason}`,
    {
      hint: `docker logs ${name} says why; then docker start ${name}.`,
      facts: { container: name },
      cause,
    },
  );
}
