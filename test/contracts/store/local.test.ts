import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalStore } from '../../../src/core/stores/local/store.ts';
import { describeStore } from './store-contract.ts';

describeStore('local', async () => {
  const root = await mkdtemp(join(tmpdir(), 'dropback-local-'));
  const folder = join(root, 'app');
  const store = new LocalStore(folder, 'app');
  return {
    store,
    put: async (file, content) => {
      await store.prepare();
      await writeFile(join(folder, file), content);
    },
    drop: (file) => rm(join(folder, file)),
    files: async () => (await readdir(folder)).sort(),
    dispose: () => rm(root, { recursive: true, force: true }),
  };
});
