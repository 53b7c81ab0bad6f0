import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { identityChecks, recipientChecks } from '../../../src/core/encryption/encryption-checks.ts';
import { newAgeKey } from '../../support/age.ts';

const root = mkdtempSync(join(tmpdir(), 'dropback-checks-'));
afterAll(() => rmSync(root, { recursive: true }));
const signal = new AbortController().signal;
const key = newAgeKey();

test('nothing is said where nothing is set', async () => {
  expect(await recipientChecks([], signal)).toEqual([]);
  expect(await identityChecks(undefined, signal)).toEqual([]);
});

test('a recipient with a typing error is told in the words of age', async () => {
  const good = await recipientChecks([key.recipient, newAgeKey().recipient], signal);
  expect(good).toMatchObject([{ id: 'encryption/recipients', status: 'ok' }]);
  const last = key.recipient.at(-1) === 'q' ? 'p' : 'q';
  const misspelt = key.recipient.slice(0, -1) + last;
  const [bad] = await recipientChecks([key.recipient, misspelt], signal);
  expect(bad).toMatchObject({ status: 'failed', hint: expect.stringContaining('RECIPIENTS') });
  expect(bad?.message).toContain('malformed recipient');
});

test('an identity that age cannot use is told, and not repeated', async () => {
  expect(await identityChecks(key.identity, signal)).toMatchObject([{ status: 'ok' }]);
  const text = key.identity.text.replace(/.\n$/, '!\n');
  const [bad] = await identityChecks({ text }, signal);
  expect(bad).toMatchObject({ id: 'encryption/identity', status: 'failed' });
  expect(JSON.stringify(bad)).not.toContain(key.identity.text.trim().slice(-20, -2));
});

test('a file that everybody may read is worth a warning', async () => {
  const path = join(root, 'age.key');
  writeFileSync(path, key.identity.text, { mode: 0o600 });
  expect(await identityChecks({ ...key.identity, path }, signal)).toMatchObject([{ status: 'ok' }]);
  chmodSync(path, 0o644);
  const [open] = await identityChecks({ ...key.identity, path }, signal);
  expect(open).toMatchObject({ status: 'warning', hint: expect.stringContaining('chmod 600') });
});
