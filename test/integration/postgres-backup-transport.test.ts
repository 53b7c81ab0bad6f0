import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SslMode } from '../../src/core/config/config.ts';
import { connect } from '../../src/core/engines/postgres/connection.ts';
import { DropbackError } from '../../src/core/runtime/errors.ts';
import { PgBouncer } from '../support/pgbouncer.ts';
import { servers, type TestServer } from '../support/testbed.ts';
import { never } from './postgres-backup-bed.ts';

const server = servers[0] as TestServer;
const base = () => {
  const { host, port, password } = server;
  return {
    host,
    port,
    password,
    user: 'postgres',
    database: 'postgres',
    sslMode: 'prefer',
  } as const;
};

/** What a TLS-terminating front of the server saw of each connection. */
interface Front {
  readonly port: number;
  readonly transports: ('tls' | 'plain')[];
  close(): void;
}

/** A front that speaks PostgreSQL's TLS negotiation and passes everything on without TLS. */
async function startFront(key: string, cert: string, accepts: 'tls' | 'both'): Promise<Front> {
  const transports: ('tls' | 'plain')[] = [];
  const sockets = new Set<Socket>();
  const { createConnection } = await import('node:net');
  const front: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', (first) => {
      const isTls = first.length === 8 && first.readInt32BE(4) === 80877103;
      transports.push(isTls ? 'tls' : 'plain');
      if (!isTls && accepts === 'tls') {
        socket.end(serverError('28000', 'no pg_hba.conf entry, no encryption'));
        return;
      }
      const upstream = createConnection(server.port, server.host);
      upstream.on('error', () => socket.destroy());
      if (isTls) socket.write('S');
      const inner = isTls ? new TLSSocket(socket, { isServer: true, key, cert }) : socket;
      inner.on('error', () => upstream.destroy());
      if (!isTls) upstream.write(first);
      inner.pipe(upstream).pipe(inner);
    });
  });
  await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
  const { port } = front.address() as AddressInfo;
  const close = () => {
    for (const socket of sockets) socket.destroy();
    front.close();
  };
  return { port, transports, close };
}

function serverError(code: string, message: string): Buffer {
  const fields = Buffer.from(`SFATAL\0VFATAL\0C${code}\0M${message}\0\0`);
  const head = Buffer.alloc(5);
  head.write('E');
  head.writeInt32BE(fields.length + 4, 1);
  return Buffer.concat([head, fields]);
}

describe.skipIf(!server)('sslmode means what it means to libpq', () => {
  let folder = '';
  let key = '';
  let cert = '';
  const certFile = () => join(folder, 'cert.pem');

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dropback-test-'));
    const subject = ['-subj', '/CN=db.example', '-addext', 'subjectAltName=DNS:db.example'];
    const files = ['-keyout', join(folder, 'key.pem'), '-out', certFile()];
    const args = [
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-days',
      '2',
      ...files,
      ...subject,
    ];
    execFileSync('openssl', args, { stdio: 'ignore' });
    key = execFileSync('cat', [join(folder, 'key.pem')], { encoding: 'utf8' });
    cert = execFileSync('cat', [certFile()], { encoding: 'utf8' });
  });

  afterAll(() => rm(folder, { recursive: true, force: true }));

  test.each<[SslMode, boolean, 'tls' | 'both', string]>([
    ['disable', false, 'both', 'plain'],
    ['allow', false, 'both', 'plain'],
    ['allow', false, 'tls', 'plain,tls'],
    ['prefer', false, 'both', 'tls'],
    ['require', false, 'both', 'tls'],
    ['require', true, 'both', 'tls'],
    ['verify-ca', true, 'both', 'tls'],
  ])(
    '%s (CA given: %s) to a server that takes %s connects as %s',
    async (sslMode, ca, accepts, how) => {
      const front = await startFront(key, cert, accepts);
      try {
        const connection = {
          ...base(),
          port: front.port,
          sslMode,
          ...(ca ? { sslRootCert: certFile() } : {}),
        };
        await using session = await connect(connection, { applicationName: 'test', signal: never });
        expect(session.major).toBe(server.major);
        expect(front.transports.join()).toBe(how);
      } finally {
        front.close();
      }
    },
  );

  test('verify-full refuses a certificate of another name, and a mode without its CA', async () => {
    const front = await startFront(key, cert, 'both');
    try {
      const connection = { ...base(), port: front.port, sslMode: 'verify-full' } as const;
      for (const change of [{ sslRootCert: certFile() }, {}]) {
        await expect(
          connect({ ...connection, ...change }, { applicationName: 'test', signal: never }),
        ).rejects.toMatchObject({ code: 'database/tls-failed', retryable: false });
      }
    } finally {
      front.close();
    }
  });

  test('a statement on a TLS session can be cancelled', async () => {
    const front = await startFront(key, cert, 'both');
    try {
      const connection = { ...base(), port: front.port, sslMode: 'require' } as const;
      await using session = await connect(connection, { applicationName: 'test', signal: never });
      const stop = new AbortController();
      const sleeping = session.query('SELECT pg_sleep(600)', [], stop.signal);
      stop.abort();
      await expect(sleeping).rejects.toMatchObject({ code: 'run/aborted' });
      expect(session.lost.aborted).toBe(false);
      expect(await session.query('SELECT 1 AS a')).toEqual([{ a: 1 }]);
    } finally {
      front.close();
    }
  });
});

describe.skipIf(!server)('a connection pooler', () => {
  test.each(['', 'ignore_startup_parameters = options'])(
    'is refused with a hint (%j)',
    async (line) => {
      await using pooler = await PgBouncer.start(server, 'postgres', line);
      let error: unknown;
      do {
        error = await connect(
          { ...base(), port: pooler.port },
          { applicationName: 'test', signal: never },
        ).catch((thrown: unknown) => thrown);
      } while (error instanceof DropbackError && error.facts['system'] === 'ECONNREFUSED');
      expect(error).toMatchObject({
        code: 'database/pooler',
        hint: expect.stringContaining('direct address'),
      });
    },
  );
});
