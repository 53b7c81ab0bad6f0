import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Manifest } from '../../../src/core/archive/manifest.ts';
import {
  isSameBackup,
  parseManifest,
  serialiseManifest,
} from '../../../src/core/archive/manifest-file.ts';
import { DropbackError } from '../../../src/core/runtime/errors.ts';
import { sampleManifest } from '../../support/backups.ts';

const manifest = sampleManifest(Buffer.from('content'));

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof DropbackError) return error.code;
    throw error;
  }
  return 'accepted';
}

/** Puts a fitting checksum under any text, as its writer would. */
function sealed(value: unknown): Buffer {
  const body = JSON.stringify(value, null, 2).slice(0, -2);
  const checksum = createHash('sha256').update(`${body}\n}\n`).digest('hex');
  return Buffer.from(`${body},\n  "checksum": "${checksum}"\n}\n`);
}

describe('manifest file', () => {
  test('is read back as it was written', () => {
    expect(parseManifest(serialiseManifest(manifest), 'm')).toEqual(manifest);
  });

  test('is the same whatever the order of keys', () => {
    const shuffled = Object.fromEntries(Object.entries(manifest).reverse()) as unknown as Manifest;
    const { properties } = manifest.database;
    const database = {
      ...manifest.database,
      properties: Object.fromEntries(Object.entries(properties).reverse()),
    };
    expect(serialiseManifest({ ...shuffled, database })).toEqual(serialiseManifest(manifest));
  });

  test('is JSON with a checksum that standard tools can check', () => {
    const text = serialiseManifest(manifest).toString();
    const { checksum, ...rest } = JSON.parse(text);
    expect(rest).toEqual(manifest);
    const without = text.replace(/,\n {2}"checksum": "[0-9a-f]{64}"\n/, '\n');
    expect(createHash('sha256').update(without).digest('hex')).toBe(checksum);
  });

  test('every flipped bit is found', () => {
    const file = serialiseManifest(manifest);
    for (let at = 0; at < file.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const damaged = Buffer.from(file);
        damaged[at] = (damaged[at] ?? 0) ^ (1 << bit);
        const code = codeOf(() => parseManifest(damaged, 'm'));
        if (code !== 'manifest/corrupt') expect.fail(`byte ${at}, bit ${bit}: ${code}`);
      }
    }
  });

  test('every truncation and every appended byte is found', () => {
    const file = serialiseManifest(manifest);
    for (let length = 0; length < file.length; length++) {
      expect(codeOf(() => parseManifest(file.subarray(0, length), 'm'))).toBe('manifest/corrupt');
    }
    for (const extra of ['\n', ' ', '\0', 'x']) {
      const longer = Buffer.concat([file, Buffer.from(extra)]);
      expect(codeOf(() => parseManifest(longer, 'm'))).toBe('manifest/corrupt');
    }
  });

  test('an intact manifest of another version is not called corrupt', () => {
    expect(codeOf(() => parseManifest(sealed({ ...manifest, version: 2 }), 'm'))).toBe(
      'manifest/version',
    );
  });

  test.each([
    ['an unknown key', { ...manifest, extra: 1 }],
    ['a missing key', { ...manifest, tables: undefined }],
    ['an id of another name', { ...manifest, name: 'other' }],
    ['a path as archive', { ...manifest, archive: { ...manifest.archive, file: '../../etc/x' } }],
    [
      'a path after the id',
      { ...manifest, archive: { ...manifest.archive, file: `${manifest.id}/../x.dump` } },
    ],
    [
      'a manifest as its own archive',
      { ...manifest, archive: { ...manifest.archive, file: `${manifest.id}.json` } },
    ],
    ['a negative size', { ...manifest, archive: { ...manifest.archive, bytes: -1 } }],
    ['another format', { ...manifest, format: 'x' }],
    ['a list', [1]],
    ['null inside', { ...manifest, archive: null }],
  ])('%s is refused, checksum or not', (_, value) => {
    expect(codeOf(() => parseManifest(sealed(value), 'm'))).toBe('manifest/corrupt');
    expect(codeOf(() => serialiseManifest(value as unknown as Manifest))).toBe('manifest/invalid');
  });

  test('any text in names survives', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' })), (names) => {
        const tables = names.map((name) => ({ schema: name, name, rows: name.length }));
        const extensions = [...names];
        const made = { ...manifest, tables, roles: names, extensions };
        expect(parseManifest(serialiseManifest(made), 'm')).toEqual(made);
        expect(isSameBackup(made, { ...made })).toBe(true);
      }),
    );
  });

  test('random bytes are never a manifest, and never anything but a clear error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        expect(codeOf(() => parseManifest(bytes, 'm'))).toBe('manifest/corrupt');
      }),
    );
  });
});
