import { afterAll, describe } from 'vitest';
import { DockerRuntime } from '../../../src/core/containers/docker.ts';
import { systemClock } from '../../../src/core/runtime/clock.ts';
import { TestContainers } from '../../support/containers.ts';
import { testbed } from '../../support/testbed.ts';
import { containerRuntimeContract } from './contract.ts';

describe.skipIf(!testbed.docker)('Docker over its socket', () => {
  const world = new TestContainers();
  afterAll(() => world[Symbol.asyncDispose]());
  const runtime = new DockerRuntime(testbed.docker?.host ?? '', systemClock);
  containerRuntimeContract(
    () => world,
    () => runtime,
  );
});
