import { truncateSync } from 'node:fs';
import { join } from 'node:path';
import { type Mode, Site } from '../../integration/sqlite/support.ts';
import { type AgeKey, newAgeKey } from '../../support/age.ts';
import { describeEngine, type EngineUnderTest } from './engine-contract.ts';

async function create(mode: Mode, key?: AgeKey): Promise<EngineUnderTest> {
  const site = new Site(key ? { key } : {});
  site.fill(mode, 3000);
  return {
    backup: site.backup,
    restore: site.restore,
    folder: site.backups,
    side: 'yesterday',
    content: async () => site.content(),
    change: async () => site.change(),
    unpack: (archive, dump, trusted) => site.unpack(archive, dump, trusted),
    damaged: async () => {
      const drop = await site.dropOfOwn(false);
      truncateSync(drop.path, drop.contentBytes - 100);
      return { ...drop, contentBytes: drop.contentBytes - 100 };
    },
    sideContent: async (name) => site.content(join(site.folder, name)),
    leftovers: async () => site.leftovers(),
    dispose: async () => site.dispose(),
  };
}

describeEngine('sqlite (WAL)', () => create('wal'));
describeEngine('sqlite (rollback journal)', () => create('delete'));
describeEngine('sqlite (encrypted)', () => create('wal', newAgeKey()));
