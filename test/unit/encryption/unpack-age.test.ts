import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, expect, test } from 'vitest';
import { unpack } from '../../../src/core/archive/unpack.ts';
import type { AgeIdentity } from '../../../src/core/encryption/identity.ts';
import { encrypt, newAgeKey } from '../../support/age.ts';
import { contentOf } from '../../support/content.ts';
import { failureOf } from '../../support/failure.ts';

const root = mkdtempSync(join(tmpdir(), 'dropback-age-'));
afterAll(() => rmSync(root, { recursive: true }));
const signal = new AbortController().signal;
const key = newAgeKey();
const other = newAgeKey();

/** More than two of age's chunks, and than a pipe holds, which doesn't compress to nothing. */
const rows = Array.from({ length: 30_000 }, (_, i) => `INSERT INTO t VALUES('${i * 7919 * i}');`);
const script = `--\n-- PostgreSQL database dump\n--\n\n${rows.join('\n')}\n`;
const forSqlite = `PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n${rows.join('\n')}\nCOMMIT;\n`;
const zstd = execFileSync('zstd', ['-q', '-c'], { input: script, maxBuffer: 1e9 });

let folders = 0;
async function unpacked(name: string, content: Buffer, identity?: AgeIdentity) {
  const workFolder = join(root, String(folders++));
  await mkdir(workFolder);
  const path = join(workFolder, 'drop');
  await writeFile(path, content);
  const request = { path, fileName: name, workFolder, sha256: '', force: false, identity };
  return { drop: await unpack(request, signal), workFolder };
}
/** At its beginning, or when it is read. */
const refused = (name: string, content: Buffer, identity: AgeIdentity | undefined = key.identity) =>
  failureOf(unpacked(name, content, identity).then(({ drop }) => contentOf(drop)));

test.for([
  ['app.sql.age', Buffer.from(forSqlite)],
  ['app.sql.gz.age', gzipSync(forSqlite)],
  ['app.sql.zst.AGE', execFileSync('zstd', ['-q', '-c'], { input: forSqlite })],
] as const)('%s is decrypted and decompressed, readable for nobody else', async ([name, inner]) => {
  const { drop, workFolder } = await unpacked(name, encrypt(inner, [key.recipient]), key.identity);
  expect(drop).toMatchObject({ format: 'sqlite-plain', path: join(workFolder, 'content') });
  expect(await readFile(drop.path, 'utf8')).toBe(forSqlite);
  expect(statSync(drop.path).mode & 0o777).toBe(0o600);
  expect((await readdir(workFolder)).sort()).toEqual(['content', 'drop']);
});

test.for([
  ['app.sql.age', Buffer.from(script)],
  ['app.sql.gz.age', gzipSync(script)],
  ['app.sql.zst.AGE', zstd],
] as const)('%s for PostgreSQL is stored nowhere', async ([name, inner]) => {
  const { drop, workFolder } = await unpacked(name, encrypt(inner, [key.recipient]), key.identity);
  expect(drop.format).toBe('postgres-plain');
  expect(await contentOf(drop)).toBe(script);
  expect(await readdir(workFolder)).toEqual(['drop']);
});

test('one of several recipients is enough, in armour too, and one of several identities', async () => {
  const content = encrypt(zstd, [other.recipient, key.recipient], '-a');
  const text = `# two\n${other.identity.text}${key.identity.text}`;
  for (const identity of [key.identity, { text }]) {
    const { drop } = await unpacked('app.sql.zst.age', content, identity);
    expect(await contentOf(drop)).toBe(script);
  }
});

test('an SSH key opens what is encrypted to it', async () => {
  const path = join(root, 'ssh');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', path]);
  const recipient = (await readFile(`${path}.pub`, 'utf8')).trim();
  const content = encrypt(script, [recipient]);
  const { drop } = await unpacked('app.sql.age', content, { text: await readFile(path, 'utf8') });
  expect(await contentOf(drop)).toBe(script);
});

test('without the identity, or with another, it is refused with what to do', async () => {
  const content = encrypt(zstd, [other.recipient, other.recipient]);
  const none = await failureOf(unpacked('app.sql.zst.age', content));
  expect(none).toMatchObject({ code: 'drop/no-identity', facts: { recipients: 2 } });
  expect(none.message).toContain('2 recipients, X25519');
  expect(none.hint).toContain('RESTORE_AGE_IDENTITY');
  const wrong = await refused('app.sql.zst.age', content);
  expect(wrong.code).toBe('drop/wrong-identity');
  const unusable = await refused('app.sql.zst.age', content, { text: 'AGE-SECRET-KEY-1XYZ\n' });
  expect(unusable).toMatchObject({ code: 'drop/no-identity' });
  for (const error of [none, wrong, unusable]) {
    expect(JSON.stringify([error.message, error.facts])).not.toContain('AGE-SECRET-KEY');
  }
});

test('a passphrase is nothing that anybody could type', async () => {
  const header = `age-encryption.org/v1\n-> scrypt 7BzqLFUEK6RcucmLG2mIAw 18\n${'A'.repeat(43)}\n--- ${'A'.repeat(43)}\n`;
  const error = await refused('app.sql.age', Buffer.concat([Buffer.from(header), zstd]));
  expect(error.code).toBe('drop/passphrase');
});

test('content decides inside as well', async () => {
  const both = async (name: string, content: Buffer) => await refused(name, content);
  const zipped = encrypt(zstd, [key.recipient]);
  const wrongInside = await both('app.sql.gz.age', zipped);
  expect(wrongInside).toMatchObject({ code: 'drop/wrong-extension' });
  expect(wrongInside.message).toMatch(/\.sql\.gz\.age.*zstd/);
  expect((await both('app.db.zst.age', zipped)).code).toBe('drop/wrong-extension');
  expect((await both('app.sql.zst', zipped)).code).toBe('drop/wrong-extension');
  expect((await both('app.sql.zst.age', zstd)).code).toBe('drop/wrong-extension');
  const twice = encrypt(encrypt(script, [key.recipient]), [key.recipient]);
  expect((await both('app.sql.age', twice)).code).toBe('drop/wrong-extension');
  expect((await both('app.sql.age', encrypt('', [key.recipient]))).code).toBe('drop/empty');
});

test('a byte changed anywhere, and an end missing anywhere, is found', async () => {
  const whole = encrypt(zstd, [key.recipient]);
  const accepted: string[] = [];
  const judge = async (what: string, content: Buffer) => {
    const error = await refused('app.sql.zst.age', content).catch(() => undefined);
    // A changed recipient can't be told from another one.
    if (!error || !/^drop\/(corrupt|truncated|wrong-|unsupported)/.test(error.code)) {
      accepted.push(`${what}: ${error?.code}`);
    }
  };
  const { length } = whole;
  const spots = [0, 10, 30, 60, 120, 160, 190, 210, 70_000, Math.floor(length / 2), length - 1];
  for (const at of spots) {
    const changed = Buffer.from(whole);
    changed[at] = (changed[at] ?? 0) ^ 1;
    await judge(`changed at ${at}`, changed);
  }
  for (const left of [22, 100, 190, 216, 232, 65_752, 65_753, 100_000, length - 1]) {
    await judge(`cut after ${left}`, whole.subarray(0, left));
  }
  await judge('a byte more', Buffer.concat([whole, Buffer.from('x')]));
  expect(accepted).toEqual([]);
});

test('a header without end, and one with countless recipients, hold nothing up', async () => {
  const stanza = `-> X25519 ${'A'.repeat(43)}\n${'B'.repeat(43)}\n`;
  const many = (count: number) => `age-encryption.org/v1\n${stanza.repeat(count)}`;
  const endless = await refused('app.sql.age', Buffer.from(many(200_000)));
  expect(endless).toMatchObject({ code: 'drop/corrupt' });
  expect(endless.message).toContain('256 KiB');
  const mac = `--- ${'C'.repeat(43)}\n`;
  const most = await refused('app.sql.age', Buffer.from(`${many(2000)}${mac}${'x'.repeat(100)}`));
  expect(most.code).toMatch(/^drop\//);
  const none = await refused('app.sql.age', Buffer.from(`age-encryption.org/v1\n${mac}`));
  expect(none.code).toBe('drop/corrupt');
  const later = await refused('app.sql.age', Buffer.from('age-encryption.org/v2\n-> X\n'));
  expect(later.code).toBe('drop/unsupported-format');
});
