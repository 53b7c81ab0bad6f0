import { expect, test } from 'vitest';
import { parseBackupConfig } from '../../../src/core/config/backup.ts';
import { errorReport } from '../../../src/core/runtime/errors.ts';
import { toStoreError } from '../../../src/core/stores/s3/errors.ts';

test('an endpoint that repeats the request in what it says gives no credentials away', () => {
  const secrets = {
    AWS_ACCESS_KEY_ID: 'AKIAEXAMPLE0123',
    AWS_SECRET_ACCESS_KEY: 'a/secret+key/0123456789',
    AWS_SESSION_TOKEN: 'a-session-token-0123456789',
  };
  const { s3 } = parseBackupConfig({
    DATABASE_URL: 'sqlite:////data/app.db',
    S3_BUCKET: 'backups',
    ...secrets,
  });
  if (!s3) throw new Error('no store');
  const all = Object.values(secrets);
  const said = Object.assign(new Error(`not signed with\n${all.join(' ')}`), {
    Code: 'SignatureDoesNotMatch',
    $metadata: { httpStatusCode: 403 },
  });
  const told = errorReport(toStoreError(said, 'listing backups', s3));
  expect(told.message).toBe(
    'listing backups failed with SignatureDoesNotMatch: not signed with; *** *** ***',
  );
  for (const secret of all) expect(JSON.stringify(told)).not.toContain(secret);
});

test('keys that are in no configuration are known by their names, as a signed request has them', () => {
  const { s3 } = parseBackupConfig({
    DATABASE_URL: 'sqlite:////data/app.db',
    S3_BUCKET: 'backups',
  });
  if (!s3) throw new Error('no store');
  const said = [
    'AWS4-HMAC-SHA256 Credential=ASIASECRET/20261123/eu, SignedHeaders=host, Signature=0123secret',
    'https://b/k?X-Amz-Credential=ASIASECRET%2F2026&X-Amz-Security-Token=SECRET%2B&X-Amz-Signature=5ecret',
    '{"x-amz-security-token":"SECRET=="} <AWSAccessKeyId>ASIASECRET</AWSAccessKeyId>',
  ];
  for (const text of said) {
    const { message } = toStoreError(new Error(text), 'listing', s3);
    expect(message).toContain('***');
    expect(message).not.toMatch(/s[3e]cret(?!s)/i);
  }
});
