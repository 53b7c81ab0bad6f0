import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:tls';
import { expect, test, vi } from 'vitest';
import { Bench, Daemon } from '../support/daemon.ts';
import { HttpSink } from '../support/http-sink.ts';
import { SmtpSink } from '../support/smtp-sink.ts';

// Generous: other test files load the machine.
vi.setConfig({ testTimeout: 120_000 });

/** A webhook's receiver that speaks TLS, as far as somebody can tell who sends nothing. */
async function listen(secure: { key: Buffer; cert: Buffer }) {
  let received = 0;
  const server = createServer(secure, (socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length;
    });
  });
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    received: () => received,
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test('doctor says which way alerts would not arrive, and sends none', async () => {
  await using bench = await Bench.create();
  const [key, cert] = [bench.path('key.pem'), bench.path('cert.pem')];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const name = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
  const files = ['-keyout', key, '-out', cert, '-days', '2'];
  execFileSync('openssl', ['req', '-x509', ...kind, ...files, ...name], { stdio: 'ignore' });
  const secure = { key: await readFile(key), cert: await readFile(cert) };
  await using hook = await listen(secure);
  await using mail = await SmtpSink.start(secure);
  await using ping = await HttpSink.start();
  mail.logins.push('535 who are you');

  const environment = bench.environment({
    DATABASE_URL: `sqlite:///${bench.path('data', 'app.db')}`,
    ALERT_WEBHOOK_URL: `https://127.0.0.1:${hook.port}/services/the-secret-path`,
    ALERT_EMAIL_SMTP_URL: `smtps://backups%40x.org:wr0ng-one@127.0.0.1:${mail.port}`,
    ALERT_EMAIL_TO: 'ops@x.org',
    ALERT_PING_URL: ping.url('/a-secret-uuid'),
  });
  const doctor = async (extra: Record<string, string>) => {
    await using run = new Daemon('dropback', { ...environment, ...extra }, [
      'doctor',
      '--for',
      'backup',
    ]);
    const { code } = await run.exited;
    return { code, output: run.output };
  };
  const trusting = await doctor({ NODE_EXTRA_CA_CERTS: cert });
  expect(trusting.code, trusting.output).toBe(1);
  expect(trusting.output).toMatch(/^ok .*alerts\/webhook .*can be reached/m);
  expect(trusting.output).toMatch(/^ok .*alerts\/ping .*can be reached/m);
  expect(trusting.output).toMatch(/^FAILED .*alerts\/email .*refused the connection: .*535/m);
  expect(trusting.output).toContain('compare user, password');
  const strict = await doctor({});
  expect(strict.output).toMatch(/^FAILED .*alerts\/webhook .*self-signed certificate/m);
  const told = trusting.output + strict.output;
  expect(told).not.toMatch(/the-secret-path|wr0ng-one|a-secret-uuid/);
  expect(hook.received()).toBe(0);
  expect(ping.received).toEqual([]);
  expect(mail.mails).toEqual([]);
});
