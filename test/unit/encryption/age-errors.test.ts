import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import {
  ageDecrypt,
  decryptionError,
  feedIdentity,
} from '../../../src/core/encryption/age-decrypt.ts';
import { DropbackError } from '../../../src/core/runtime/errors.ts';
import { runPipeline } from '../../../src/core/runtime/process/pipeline.ts';
import { encrypt, newAgeKey } from '../../support/age.ts';

/** What age 1.1.1 and 1.3.2 said, tried by hand; where they differ, both. */
const said: [string, string, string[]][] = [
  ['another key', 'drop/wrong-identity', ['no identity matched any of the recipients']],
  [
    'an identity that it cannot use',
    'drop/no-identity',
    [
      'reading "-": failed to read "-": error at line 1: unknown identity type',
      'reading "-": failed to read "-": no secret keys found',
      'reading "-": failed to read "-": no identities found',
      'reading "-": failed to read "-": error at line 3: malformed secret key: invalid checksum',
      'reading "-": failed to read "-": error at line 1: apparent recipient found in identities file',
      'reading "-": malformed SSH identity in "-": unsupported SSH identity type: *ecdsa.PrivateKey',
    ],
  ],
  [
    'a file that is damaged or cut',
    'drop/corrupt',
    [
      'failed to read header: parsing age header: malformed closing line "--- qoa+bd`GmsPv\\n": illegal base64 data at input byte 6',
      'failed to read header: parsing age header: unexpected intro: "age-eocryption.org/v1\\n"',
      'failed to read header: failed to read header: EOF',
      'failed to read header: failed to parse header: failed to read line: invalid armor: illegal base64 data at input byte 48',
      'bad header MAC',
      'invalid header intro',
      'invalid X25519 recipient block',
      'failed to decrypt file key: chacha20poly1305: message authentication failed',
      'failed to decrypt file key: crypto/rsa: decryption error',
      'failed to read nonce: unexpected EOF',
      'unexpected EOF',
      'last chunk is empty, try age v1.0.0, and please consider reporting this',
      'failed to decrypt and authenticate payload chunk',
      'failed to decrypt and authenticate payload chunk, file may be corrupted or tampered with',
      'invalid armor: unexpected EOF',
      'invalid armor: trailing data after armored file',
    ],
  ],
  ['a disk that fails', 'disk/failing', ['read /dev/fd/3: input/output error']],
  [
    'a machine that has no more',
    'tool/failed',
    [
      'failed to open input file "/dev/fd/3": open /dev/fd/3: too many open files',
      'fork/exec: resource temporarily unavailable',
    ],
  ],
];

test.each(said)('%s: %s', (_, code, lines) => {
  for (const line of lines) {
    const stderr = [`age: error: ${line}`, 'age: report unexpected or unhelpful errors at …'];
    const facts = { program: 'age', exitCode: 1, exitSignal: null, stderr };
    const failed = new DropbackError('tool/failed', 'age exited with code 1', { hint: 'x', facts });
    expect(decryptionError(failed).code, line).toBe(code);
  }
});

describe('the age of this machine', () => {
  const root = mkdtempSync(join(tmpdir(), 'dropback-age-'));
  afterAll(() => rmSync(root, { recursive: true }));
  const key = newAgeKey();

  async function codeOf(content: Buffer, text = key.identity.text): Promise<string | undefined> {
    const path = join(root, 'file');
    writeFileSync(path, content);
    await using file = await open(path);
    const feed = feedIdentity({ text });
    return await runPipeline([ageDecrypt(file)], {
      signal: new AbortController().signal,
      feed,
    }).then(
      () => undefined,
      (error) => decryptionError(error).code,
    );
  }

  test('never blames the identity for a damaged end of the header, nor the file for the identity', async () => {
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(root, 'ssh')]);
    const ssh = readFileSync(join(root, 'ssh'), 'utf8');
    const whole = encrypt('hello', [key.recipient]);
    const flipped = (at: number) => {
      const copy = Buffer.from(whole);
      copy[at] = (copy[at] ?? 0) ^ 1;
      return copy;
    };
    const mac = whole.indexOf('\n---') + 1;
    for (const at of [0, 5, 21, mac + 5, mac + 20, mac + 50, whole.length - 1]) {
      const code = await codeOf(flipped(at));
      expect(code, `byte ${at}`).toBe('drop/corrupt');
    }
    for (const length of [mac + 10, mac + 50, whole.length - 1]) {
      expect(await codeOf(whole.subarray(0, length)), `cut at ${length}`).toBe('drop/corrupt');
    }
    expect(await codeOf(whole, newAgeKey().identity.text)).toBe('drop/wrong-identity');
    expect(await codeOf(whole, ssh)).toBe('drop/wrong-identity');
    const [, typo = ''] = /(AGE-SECRET-KEY-1.*).$/m.exec(key.identity.text) ?? [];
    expect(await codeOf(whole, `${typo}0\n`)).toBe('drop/no-identity');
  });
});
