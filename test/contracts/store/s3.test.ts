import { describe } from 'vitest';
import { silentLogger } from '../../../src/core/observability/log.ts';
import { S3Store } from '../../../src/core/stores/s3/store.ts';
import { TestPrefix } from '../../support/s3.ts';
import { testbed } from '../../support/testbed.ts';
import { describeStore } from './store-contract.ts';

describe.skipIf(!testbed.s3)('on a real endpoint', () => {
  describeStore('S3', async () => {
    const prefix = new TestPrefix();
    const store = new S3Store(prefix.config(), 'app', {
      log: silentLogger(),
      // S3's own smallest part, so that parts are many with little data.
      upload: { smallestPartBytes: 5 * 1024 ** 2, concurrency: 3 },
    });
    return {
      store,
      put: (file, content) => prefix.put(file, content),
      drop: (file) => prefix.drop(file),
      files: () => prefix.files(),
      dispose: async () => {
        await store[Symbol.asyncDispose]();
        await prefix[Symbol.asyncDispose]();
      },
    };
  });
});
