import { Application } from '../../../src/core/containers/application.ts';
import { DockerRuntime } from '../../../src/core/containers/docker.ts';
import { silentLogger } from '../../../src/core/observability/log.ts';
import { systemClock } from '../../../src/core/runtime/clock.ts';
import { World } from './world.ts';

/** A daemon in a process of its own on a real container; runs until it is killed. */
const [root = '', dockerHost = '', name = ''] = process.argv.slice(2);
const config = { dockerHost, stop: [name], start: [], stopGraceSeconds: 10 };
const runtime = new DockerRuntime(dockerHost, systemClock);
const application = new Application(runtime, config, systemClock, silentLogger(), undefined);
new World(root, { application }).start();
