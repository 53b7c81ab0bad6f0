import { DropbackError, messageOf } from '../../runtime/errors.ts';
import { outOfLocks } from './out-of-locks.ts';

/** What we use of the errors that the driver throws: the server's fields, or a system code. */
export interface DriverError extends Error {
  readonly code?: string;
  readonly severity?: string;
  readonly detail?: string;
  readonly hint?: string;
  readonly schema?: string;
  readonly table?: string;
  readonly constraint?: string;
}

const SQLSTATE = /^[0-9A-Z]{5}$/;
const OUT_OF_MEMORY = '53200';

/** The server's SQLSTATE, or undefined for an error that didn't come from a server. */
export function sqlState(error: unknown): string | undefined {
  if (error instanceof DropbackError) {
    const state = error.facts['sqlstate'];
    return typeof state === 'string' ? state : undefined;
  }
  const { code, severity } = (error ?? {}) as Partial<DriverError>;
  return severity !== undefined && code !== undefined && SQLSTATE.test(code) ? code : undefined;
}

/** The error of an attempt to connect. `where` is a description without secrets. */
export function connectError(error: unknown, where: string): DropbackError {
  if (error instanceof DropbackError) return error;
  const message = messageOf(error);
  const state = sqlState(error);
  if (state === '28P01' || state === '28000' || message.startsWith('SASL:')) {
    return new DropbackError('database/auth-failed', `${where} refused the login: ${message}`, {
      hint: 'check user and password, and that pg_hba.conf lets this host in (with or without TLS).',
      facts: facts(error, state),
      cause: error,
    });
  }
  if (state === '3D000') {
    return new DropbackError('database/missing', `${where}: ${message}`, {
      hint: 'create the database, or correct its name in the configuration.',
      facts: facts(error, state),
      cause: error,
    });
  }
  if (/unsupported startup parameter/i.test(message)) return poolerError(where, message, error);
  if (state === undefined && isTlsFailure(error)) {
    return new DropbackError('database/tls-failed', `${where}: ${message}`, {
      hint: "check sslmode, and that sslrootcert is the CA of the server's certificate.",
      facts: facts(error, state),
      cause: error,
    });
  }
  if (state === undefined || isPassing(state)) return unreachable(where, error);
  return new DropbackError('database/query-failed', `${where}: ${message}`, {
    hint: 'the server answered, but does not let this session begin: its own log says more.',
    facts: facts(error, state),
    cause: error,
  });
}

/** The server has no TLS, or its certificate (or ours) isn't accepted. */
export function isTlsFailure(error: unknown): boolean {
  const code = String((error as Partial<DriverError> | null)?.code ?? '');
  if (/^ERR_(?:TLS|SSL|OSSL)|CERT|UNABLE_TO_|HOSTNAME_MISMATCH|^EPROTO$/.test(code)) return true;
  return messageOf(error) === 'The server does not support SSL connections';
}

/** The error of a statement on an open session. */
export function queryError(error: unknown, where: string): DropbackError {
  if (error instanceof DropbackError) return error;
  const state = sqlState(error);
  if (state === undefined || isPassing(state)) return unreachable(where, error);
  if (state === OUT_OF_MEMORY && /shared memory/.test(messageOf(error))) {
    return outOfLocks(`${where}: ${messageOf(error)}`, '', {
      facts: facts(error, state),
      cause: error,
    });
  }
  return new DropbackError('database/query-failed', `${where}: ${messageOf(error)} [${state}]`, {
    hint: standbyHint(error) ?? (error as DriverError).hint ?? queryHint(state),
    facts: facts(error, state),
    cause: error,
  });
}

export function poolerError(where: string, message: string, cause?: unknown): DropbackError {
  return new DropbackError(
    'database/pooler',
    `${where} is a connection pooler, not the server: ${message}`,
    {
      hint: 'give the direct address of the PostgreSQL server (usually port 5432): dumps and swaps need sessions of their own.',
      cause,
    },
  );
}

function unreachable(where: string, error: unknown): DropbackError {
  const full = sqlState(error) === '53300';
  return new DropbackError('database/unreachable', `${where}: ${messageOf(error)}`, {
    hint: full
      ? 'the server has no free connection for this role: raise max_connections, or use fewer.'
      : (standbyHint(error) ??
        'check that the server runs, and that host, port and network are right.'),
    facts: facts(error, sqlState(error)),
    retryable: true,
    cause: error,
  });
}

/** Connection lost (08), too many connections, shutdown and start-up: they pass by themselves. */
function isPassing(state: string): boolean {
  return state.startsWith('08') || ['53300', '57P01', '57P02', '57P03', '57P05'].includes(state);
}

/** A standby ends what reads rows that the primary has removed, sessions too. */
function standbyHint(error: unknown): string | undefined {
  if (!/conflict with recovery/.test(messageOf(error))) return undefined;
  return 'the standby waited too long with what the primary has changed: raise its max_standby_streaming_delay (-1: for ever), or set hot_standby_feedback.';
}

function queryHint(state: string): string {
  if (state === '25006')
    return 'the server is a standby, or lets nothing be written: give the address of the primary (for a test restore BACKUP_VERIFY_URL).';
  if (state === '42501') return 'the role lacks a right: dropback doctor lists the exact GRANTs.';
  if (state === '55P03') return 'another session holds the lock: try again when it is done.';
  if (state === '57014') return 'the statement was cancelled or took longer than its time-out.';
  if (state === '53100') return 'the server has no disk space left: free some, then try again.';
  return "the server's log has the statement and more details.";
}

function facts(error: unknown, state: string | undefined): Record<string, unknown> {
  const { code, detail, schema, table, constraint } = (error ?? {}) as Partial<DriverError>;
  const all = {
    ...(state === undefined ? { system: code } : { sqlstate: state }),
    detail,
    schema,
    table,
    constraint,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}
