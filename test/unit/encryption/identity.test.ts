import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { readIdentityText } from '../../../src/core/encryption/identity.ts';
import { readRecipients } from '../../../src/core/encryption/recipients.ts';
import { newAgeKey } from '../../support/age.ts';

const root = mkdtempSync(join(tmpdir(), 'dropback-identity-'));
afterAll(() => rmSync(root, { recursive: true }));
const key = newAgeKey();

function sshKey(name: string, passphrase: string, ...more: string[]): string {
  const path = join(root, name);
  execFileSync('ssh-keygen', ['-q', '-N', passphrase, '-f', path, ...more]);
  return path;
}
const read = (path: string) => readFileSync(path, 'utf8');

test('an identity is read as age-keygen and ssh-keygen write it', () => {
  expect(readIdentityText(key.identity.text)).toMatchObject({ ok: key.identity.text });
  expect(readIdentityText(key.identity.text.replaceAll('\n', '\r\n'))).toEqual({
    ok: key.identity.text,
  });
  const ed25519 = read(sshKey('plain', '', '-t', 'ed25519'));
  expect(readIdentityText(ed25519)).toEqual({ ok: ed25519 });
  const pem = read(sshKey('pem', '', '-t', 'rsa', '-m', 'PEM'));
  expect(readIdentityText(pem)).toEqual({ ok: pem });
});

test('one that asks for a passphrase is refused: nobody is there to type it', () => {
  const refusal = { message: expect.stringContaining('passphrase') };
  const guarded = read(sshKey('guarded', 'secret', '-t', 'ed25519'));
  expect(readIdentityText(guarded)).toMatchObject(refusal);
  const pem = read(sshKey('guarded-pem', 'secret', '-t', 'rsa', '-m', 'PEM'));
  expect(readIdentityText(pem)).toMatchObject(refusal);
  const age = '-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n';
  expect(readIdentityText(age)).toMatchObject(refusal);
  expect(readIdentityText('age-encryption.org/v1\n-> scrypt')).toMatchObject(refusal);
});

test.for([key.recipient, 'AGE-PLUGIN-YUBIKEY-1QQ', 'hello', '', '# a comment'])(
  '%s is no identity',
  (text) => {
    expect(readIdentityText(text)).toMatchObject({ message: expect.any(String) });
  },
);

test('recipients: several, comments, SSH keys, each once', () => {
  const ssh = read(`${sshKey('recipient', '', '-t', 'ed25519', '-C', 'me@home')}.pub`).trim();
  const text = `# ours\n${key.recipient}, ${ssh}\n\n${key.recipient}`;
  expect(readRecipients(text)).toEqual({ ok: [key.recipient, ssh.replace(/ me@home$/, '')] });
});

test.for(['', '# none', 'age1UPPER', 'me@home', 'AGE1X', 'ssh-dss AAAA'])(
  '%j holds no recipient, or something else',
  (text) => {
    expect(readRecipients(text)).toHaveProperty('message');
  },
);

test('a secret key among the recipients is told, and not repeated', () => {
  const refusal = readRecipients(`${key.recipient},${key.identity.text}`);
  expect(refusal).toMatchObject({ message: expect.stringContaining('secret key') });
  expect(JSON.stringify(refusal)).not.toContain(key.identity.text.trim().split('\n').at(-1));
});
