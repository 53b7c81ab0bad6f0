import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { canRunAs } from '../../integration/sqlite/support.ts';

const US = 1000;
const script = fileURLToPath(new URL('../../support/claim-as.ts', import.meta.url));
const asideScript = fileURLToPath(new URL('../../support/file-aside-as.ts', import.meta.url));
const asUs = [`--reuid=${US}`, `--regid=${US}`, '--clear-groups'];
const plain = [...asUs, '--inh-caps=-all'];
/** As the image's entrypoint starts db-restore. */
const mayChown = [...asUs, '--inh-caps=-all,+chown', '--ambient-caps=-all,+chown'];

describe.runIf(await canRunAs(US))('a drop that root copied and root alone may read', () => {
  let root: string;
  let path: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'dropback-claim-rights-'));
    chmodSync(root, 0o755);
    for (const name of ['incoming', 'work']) {
      mkdirSync(join(root, name), { mode: 0o700 });
      chownSync(join(root, name), US, US);
    }
    path = join(root, 'incoming', 'app.sql');
    writeFileSync(path, '-- PostgreSQL database dump complete\n', { mode: 0o600 });
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  function claim(rights: readonly string[], source = path) {
    const command = [...rights, '--', process.execPath, script, source, join(root, 'work')];
    const { stdout, stderr } = spawnSync('setpriv', command, { encoding: 'utf8' });
    if (!stdout) throw new Error(stderr);
    return JSON.parse(stdout) as { code?: string; hint?: string; bytes?: number; waits?: string };
  }

  test('is taken in with CAP_CHOWN, and ours then', () => {
    expect(claim(mayChown)).toMatchObject({ bytes: 37 });
    const claimed = statSync(join(root, 'work', 'drop'));
    expect([claimed.uid, claimed.gid, claimed.mode & 0o777]).toEqual([US, US, 0o600]);
  });

  test('is looked at before it is claimed, like any other', () => {
    writeFileSync(path, '--\n-- PostgreSQL database dump\n--\nCOPY public.t (i) FROM stdin;\n1\n');
    expect(claim(mayChown).waits).toBe('its last line is missing');
  });

  test('is refused with a way out without it', () => {
    expect(claim(plain)).toMatchObject({
      code: 'drop/not-readable',
      hint: expect.stringContaining('chmod a+r'),
    });
    expect(statSync(path).uid).toBe(0);
  });

  test('stays whose it is where it has a second name', () => {
    linkSync(path, join(root, 'theirs'));
    expect(claim(mayChown)).toMatchObject({ code: 'drop/hard-link' });
    expect(statSync(path).uid).toBe(0);
  });

  test('is not found through a link', () => {
    const link = join(root, 'incoming', 'link.sql');
    symlinkSync(path, link);
    expect(claim(mayChown, link)).toMatchObject({ code: 'drop/not-a-file' });
    expect(statSync(path).uid).toBe(0);
  });

  test('a folder of root, refused, stays; anything else of root is moved aside', () => {
    const folder = join(root, 'incoming', 'folder.dump');
    mkdirSync(folder);
    expect(aside(folder)).toEqual({ moved: false });
    expect(statSync(folder).isDirectory()).toBe(true);
    expect(aside(path)).toEqual({ moved: true });
  });

  function aside(source: string) {
    const command = [...mayChown, '--', process.execPath, asideScript, source, join(root, 'work')];
    const { stdout, stderr } = spawnSync('setpriv', command, { encoding: 'utf8' });
    if (!stdout) throw new Error(stderr);
    return JSON.parse(stdout) as { moved: boolean };
  }
});
