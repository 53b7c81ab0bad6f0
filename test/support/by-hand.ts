import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import type { Manifest } from '../../src/core/archive/manifest.ts';

const run = promisify(execFile);

/** What others read manifests by: not the code's own idea of them, but the file that is published. */
const published = z.fromJSONSchema(
  JSON.parse(readFileSync(new URL('../../docs/manifest.schema.json', import.meta.url), 'utf8')),
);

export interface ByHand {
  /** Where archive and manifest lie. */
  readonly from: string;
  /** A new folder, to restore in. */
  readonly folder: string;
  /** Text of the age identity. */
  readonly identity?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

/**
 * As docs/disaster-recovery.md has it done: both files into a folder, the manifest's commands into a
 * script, run as they are. Requires that the manifest is what docs/manifest.schema.json says.
 */
export async function restoreByHand(
  { id, archive }: Manifest,
  { from, folder, identity, environment = {} }: ByHand,
): Promise<string> {
  await mkdir(folder);
  for (const file of [archive.file, `${id}.json`])
    await copyFile(join(from, file), join(folder, file));
  if (identity !== undefined) await writeFile(join(folder, 'KEY'), identity, { mode: 0o600 });
  const manifest = JSON.parse(await readFile(join(folder, `${id}.json`), 'utf8'));
  published.parse(manifest);
  await writeFile(join(folder, 'by-hand.sh'), `${manifest.restoreByHand.join('\n')}\n`);
  const env = { PATH: '/usr/bin:/bin', ...environment };
  const { stdout } = await run('/bin/sh', ['-e', 'by-hand.sh'], { cwd: folder, env });
  return stdout;
}
