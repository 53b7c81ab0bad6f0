import { randomBytes } from 'node:crypto';
import Docker from 'dockerode';
import { testbed } from './testbed.ts';

/** Containers on the test bed's engine, all of one made-up Compose project; removed on disposal. */
export class TestContainers implements AsyncDisposable {
  readonly project = `dropback-test-${randomBytes(4).toString('hex')}`;
  readonly host = testbed.docker?.host ?? '';
  readonly docker = new Docker({ socketPath: this.host.replace(/^unix:\/\//, '') });
  readonly #names = new Set<string>();

  /** Full name of a container of this test. */
  name(short: string): string {
    return `${this.project}-${short}`;
  }

  async create(short: string, options: TestContainerOptions = {}): Promise<string> {
    const name = this.name(short);
    // A test that is tried again finds what its first try left.
    if (this.#names.has(name)) await this.remove(name);
    this.#names.add(name);
    const container = await this.docker.createContainer({
      name,
      Image: 'dropback-test/base:forky',
      Cmd: ['sh', '-c', options.script ?? politely],
      Env: Object.entries(options.environment ?? {}).map(([key, value]) => `${key}=${value}`),
      ...(options.publish ? { ExposedPorts: { '5432/tcp': {} } } : {}),
      Labels: {
        'com.docker.compose.project': this.project,
        'com.docker.compose.service': short.replace(/-\d+$/, ''),
        'com.docker.compose.container-number': /-(\d+)$/.exec(short)?.[1] ?? '1',
        ...options.labels,
      },
      ...(options.user ? { User: options.user } : {}),
      ...(options.health ? { Healthcheck: healthcheck(options.health) } : {}),
      HostConfig: {
        NetworkMode: options.network ?? 'none',
        ...(options.publish ? { PortBindings: { '5432/tcp': [{ HostIp: '127.0.0.1' }] } } : {}),
        AutoRemove: options.autoRemove ?? false,
        RestartPolicy: { Name: options.restart ?? '' },
        ...(options.binds ? { Binds: [...options.binds] } : {}),
      },
    });
    if (options.started ?? true) await container.start();
    return name;
  }

  async remove(name: string): Promise<void> {
    await this.docker
      .getContainer(name)
      .remove({ force: true })
      .catch((error: { statusCode?: number }) => {
        if (error.statusCode !== 404 && error.statusCode !== 409) throw error;
      });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of this.#names) await this.remove(name);
  }
}

export interface TestContainerOptions {
  /** Shell script that is the container's only process. */
  readonly script?: string;
  /** Shell command of the health check, run every half second. */
  readonly health?: string;
  readonly labels?: Record<string, string>;
  /** Default none; `host` reaches servers on this machine's loopback. */
  readonly network?: 'none' | 'host' | 'bridge';
  /** Port 5432 of it on a free port of this machine's loopback. */
  readonly publish?: boolean;
  readonly environment?: Record<string, string>;
  readonly autoRemove?: boolean;
  readonly restart?: 'always' | 'on-failure';
  /** `uid:gid` of the process. */
  readonly user?: string;
  /** `/on/the/host:/in/the/container[:ro]` */
  readonly binds?: readonly string[];
  readonly started?: boolean;
}

/** Ends on SIGTERM at once. */
export const politely = 'trap "exit 0" TERM; while :; do sleep 0.1; done';
/** Ignores SIGTERM. */
export const stubbornly = 'trap "" TERM; while :; do sleep 0.1; done';

function healthcheck(command: string) {
  const nanoseconds = 1_000_000;
  return {
    Test: ['CMD-SHELL', command],
    Interval: 500 * nanoseconds,
    Timeout: 5000 * nanoseconds,
    Retries: 2,
  };
}
