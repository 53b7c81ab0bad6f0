import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { serialiseManifest } from '../../../src/core/archive/manifest-file.ts';
import { manifestJsonSchema } from '../../../src/core/archive/manifest-json-schema.ts';
import { sampleManifest } from '../../support/backups.ts';

interface Node {
  readonly properties?: Readonly<Record<string, Node>>;
  readonly items?: Node;
  readonly anyOf?: readonly Node[];
}

const docs = (name: string) =>
  readFileSync(new URL(`../../../docs/${name}`, import.meta.url), 'utf8');

/** `archive.bytes`, `tables[].rows`: every field that has none below it. */
function leaves({ properties, items, anyOf }: Node, path = ''): string[] {
  if (anyOf) return anyOf.flatMap((node) => leaves(node, path));
  if (items) return leaves(items, `${path}[]`);
  if (!properties) return [path.replace(/\[\]$/, '')];
  return Object.entries(properties).flatMap(([key, node]) =>
    leaves(node, path === '' ? key : `${path}.${key}`),
  );
}

test("docs/manifest.schema.json is the code's (npm run docs)", () => {
  expect(JSON.parse(docs('manifest.schema.json'))).toEqual(manifestJsonSchema());
});

test('docs/manifest.md names every field, and every field that may be missing', () => {
  const page = docs('manifest.md');
  const fields = leaves(manifestJsonSchema() as Node);
  expect(fields).toContain('tables[].rows');
  expect(fields.filter((field) => !page.includes(`\`${field}\``))).toEqual([]);
  const named = [...page.matchAll(/`([a-z][\w[\].]+)`(?=[^|\n]*\|)/gi)].map(([, name]) => name);
  const known = named.filter((name) => /^(archive|database|tool|tables\[\])\./.test(name ?? ''));
  expect(known.filter((name) => !fields.includes(name ?? ''))).toEqual([]);
});

test('the command that docs/manifest.md gives for the checksum is right', () => {
  const folder = mkdtempSync(join(tmpdir(), 'dropback-test-'));
  try {
    writeFileSync(join(folder, 'M'), serialiseManifest(sampleManifest(Buffer.from('x'))));
    const [, command = ''] = /```bash\n(\{ head .*)\n```/.exec(docs('manifest.md')) ?? [];
    const said = execFileSync('/bin/sh', ['-c', command], { cwd: folder, encoding: 'utf8' });
    const [, computed] = /^([0-9a-f]{64}) /.exec(said) ?? [];
    expect(computed).toMatch(/^[0-9a-f]{64}$/);
    expect(said).toContain(`"checksum": "${computed}"`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
