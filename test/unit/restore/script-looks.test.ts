import { mkdtempSync, rmSync } from 'node:fs';
import { open, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, expect, test } from 'vitest';
import { looksTruncated } from '../../../src/restore/drop-folder/completeness.ts';
import { ensureFolders, foldersOf } from '../../../src/restore/drop-folder/folders.ts';
import { sight, signatureOf } from '../../../src/restore/drop-folder/scan.ts';
import { ScriptLooks } from '../../../src/restore/drop-folder/script-looks.ts';

const root = mkdtempSync(join(tmpdir(), 'dropback-looks-'));
afterAll(() => rmSync(root, { recursive: true }));
const folders = foldersOf({ watchDir: join(root, 'incoming') });
const signal = new AbortController().signal;
const path = join(folders.incoming, 'app.sql.gz');

/** Rows that don't compress to nothing. */
const rows = Array.from({ length: 20_000 }, (_, i) => `${i}\t${i * 7919 * i}\n`).join('');
const script = `--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE public.t (\n    a bigint,\n    b bigint\n);\n
COPY public.t (a, b) FROM stdin;\n${rows}\\.\n\n--\n-- PostgreSQL database dump complete\n--\n\n`;

async function looked(content: Buffer) {
  await ensureFolders(folders);
  await writeFile(path, content);
  const signature = signatureOf(await stat(path, { bigint: true }));
  const sighting = await sight(folders, 'app.sql.gz', false);
  if (!sighting) throw new Error('not there');
  const scripts = new ScriptLooks();
  return { scripts, signature, reason: await looksTruncated(sighting, signal, { scripts }) };
}

test('what is seen of a script on the way to its end is kept for the file that it was, once', async () => {
  const { scripts, signature, reason } = await looked(gzipSync(script));
  expect(reason).toBeUndefined();
  expect(scripts.take(signature)).toMatchObject({
    bytes: script.length,
    tables: [{ schema: 'public', name: 't', created: true, rows: 20_000 }],
  });
  expect(scripts.take(signature)).toBeUndefined();

  const again = await looked(gzipSync(script));
  expect(again.scripts.take(`${again.signature}0`)).toBeUndefined();
  expect(again.scripts.take(again.signature)).toBeUndefined();
});

test('a compressed script that is cut anywhere still looks so', async () => {
  const whole = gzipSync(script);
  const unnoticed: number[] = [];
  for (const left of [15, 400, 30_000, whole.length - 9, whole.length - 1]) {
    const { reason, scripts, signature } = await looked(whole.subarray(0, left));
    if (reason === undefined || scripts.take(signature)) unnoticed.push(left);
  }
  expect(unnoticed).toEqual([]);
});

test('what the inspection has to say is left to it: nobody waits for what is whole', async () => {
  const half = script.slice(0, script.length / 2);
  for (const text of [half, script.replace('CREATE', '\\! id\nCREATE'), 'PRAGMA x;\n', 'nothing']) {
    const { reason, scripts, signature } = await looked(gzipSync(text));
    expect(reason).toBeUndefined();
    expect(scripts.take(signature)).toBeUndefined();
  }
});

test('a look that is broken off is no verdict', async () => {
  await ensureFolders(folders);
  await writeFile(path, gzipSync(script));
  await using file = await open(path);
  const looks = new ScriptLooks();
  const ended = AbortSignal.abort();
  await expect(looks.findsWhole(file, ended)).rejects.toMatchObject({ code: 'run/aborted' });
});
