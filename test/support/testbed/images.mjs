/**
 * The images of the test bed, all on one shared layer:
 *   dropback-test/base           the root file system with Node 24, PostgreSQL 18, nginx, zstd, age, sqlite3
 *   dropback-test/postgres:18    base + an entrypoint that behaves like the official image's
 *   dropback-test/postgres:17    base + PostgreSQL 17 of Debian trixie, and the same entrypoint
 *   dropback-test/app            base + a small HTTP server that ends on SIGTERM
 *   dropback-test/app:stubborn   the same, deaf to SIGTERM
 *   dropback-test/s3             base + Ceph and its S3 gateway
 * A label holds the hash of what went in; an image whose label differs is made anew.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { ensureRootfs, recipe, SUITE } from './base-rootfs.mjs';
import { docker } from './docker-engine.mjs';
import { run } from './processes.mjs';

const LABEL = 'dropback.testbed.recipe';
const folder = new URL('./image/', import.meta.url);

export const baseImage = 'dropback-test/base:forky';
export const postgresImage = 'dropback-test/postgres:18';
export const postgres17Image = 'dropback-test/postgres:17';
export const s3Image = 'dropback-test/s3:latest';
export const appImage = 'dropback-test/app:latest';
export const stubbornAppImage = 'dropback-test/app:stubborn';

/** All of them. */
export const imageNames = [
  baseImage,
  postgresImage,
  postgres17Image,
  appImage,
  stubbornAppImage,
  s3Image,
];

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** @returns {Promise<{line: string, value: {base: string, postgres: string, app: string, stubbornApp: string}}>} */
export async function ensureImages() {
  const made = [];
  if ((await label(baseImage)) !== recipe) {
    await importBase();
    made.push(baseImage);
  }
  for (const image of derived) {
    const want = content(image);
    if ((await label(image.tag)) === want) continue;
    await derive(image, want);
    made.push(image.tag);
  }
  const value = {
    base: baseImage,
    postgres: postgresImage,
    app: appImage,
    stubbornApp: stubbornAppImage,
  };
  return { line: made.length > 0 ? `made ${made.join(', ')}` : 'already there', value };
}

const derived = [
  {
    tag: postgresImage,
    file: 'postgres-entrypoint.sh',
    target: '/usr/local/bin/docker-entrypoint.sh',
    // Commit knows no STOPSIGNAL, but takes over what the container has.
    create: ['--stop-signal', 'SIGINT'],
    changes: [
      `ENV PATH=/usr/lib/postgresql/18/bin:${PATH}`,
      'ENV PG_MAJOR=18',
      'ENV LANG=en_US.utf8',
      'ENV PGDATA=/var/lib/postgresql/18/docker',
      'VOLUME /var/lib/postgresql',
      'EXPOSE 5432',
      'ENTRYPOINT ["docker-entrypoint.sh"]',
      'CMD ["postgres"]',
    ],
  },
  {
    tag: postgres17Image,
    file: 'postgres-entrypoint.sh',
    target: '/usr/local/bin/docker-entrypoint.sh',
    suite: 'trixie',
    install: ['postgresql-17'],
    create: ['--stop-signal', 'SIGINT'],
    changes: [
      `ENV PATH=/usr/lib/postgresql/17/bin:${PATH}`,
      'ENV PG_MAJOR=17',
      'ENV LANG=en_US.utf8',
      'ENV PGDATA=/var/lib/postgresql/data',
      'VOLUME /var/lib/postgresql/data',
      'EXPOSE 5432',
      'ENTRYPOINT ["docker-entrypoint.sh"]',
      'CMD ["postgres"]',
    ],
  },
  {
    tag: appImage,
    file: 'app.mjs',
    target: '/srv/app.mjs',
    changes: ['EXPOSE 8000', 'CMD ["node", "/srv/app.mjs"]'],
  },
  {
    tag: stubbornAppImage,
    file: 'app.mjs',
    target: '/srv/app.mjs',
    changes: ['ENV IGNORE_SIGTERM=1', 'EXPOSE 8000', 'CMD ["node", "/srv/app.mjs"]'],
  },
  {
    tag: s3Image,
    file: 's3-entrypoint.sh',
    target: '/usr/local/bin/s3-entrypoint.sh',
    install: ['radosgw', 'ceph-mon', 'ceph-osd', 'ceph-common'],
    changes: ['EXPOSE 7480', 'VOLUME /srv/ceph', 'CMD ["s3-entrypoint.sh"]'],
  },
];

/** The hash of what goes into a derived image. */
function content(image) {
  const hash = createHash('sha256').update(recipe).update(JSON.stringify(image));
  return hash
    .update(readFileSync(new URL(image.file, folder)))
    .digest('hex')
    .slice(0, 12);
}

async function label(image) {
  const { code, stdout } = await docker(
    ['image', 'inspect', '--format', `{{index .Config.Labels "${LABEL}"}}`, image],
    { check: false },
  );
  return code === 0 ? stdout.trim() : undefined;
}

async function importBase() {
  const tarball = await ensureRootfs();
  const env = [
    `PATH=${PATH}`,
    'LANG=C.UTF-8',
    'NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt',
  ];
  const changes = [...env.map((pair) => `ENV ${pair}`), `LABEL ${LABEL}=${recipe}`, 'CMD ["bash"]'];
  const flags = changes.flatMap((change) => ['--change', change]);
  // Engines before 23 do not read zstd.
  const pipeline = 'set -o pipefail; zstd -dcq -- "$0" | docker import "$@"';
  await run('bash', ['-c', pipeline, tarball, ...flags, '-', baseImage], { timeoutMs: 300_000 });
}

/** A container made and committed, not a build: needs no builder and no pull. */
async function derive(image, contentHash) {
  const { tag, file, target, changes, create = [], install = [], suite } = image;
  const id = (
    await docker([
      'create',
      '--network',
      'host',
      ...create,
      baseImage,
      'bash',
      '-c',
      installScript(install, suite),
    ])
  ).stdout.trim();
  try {
    if (install.length > 0) await docker(['start', '-a', id], { timeoutMs: 300_000 });
    await docker(['cp', new URL(file, folder).pathname, `${id}:${target}`]);
    const flags = [...changes, `LABEL ${LABEL}=${contentHash}`].flatMap((change) => [
      '--change',
      change,
    ]);
    await docker(['commit', ...flags, id, tag], { timeoutMs: 300_000 });
  } finally {
    await docker(['rm', '-f', id], { check: false });
  }
}

/** `suite`: a release of Debian that still has what the base's no longer has. */
function installScript(packages, suite) {
  if (packages.length === 0) return 'true';
  const apt = 'apt-get -q -o Acquire::Check-Valid-Until=false';
  const install = `DEBIAN_FRONTEND=noninteractive ${apt} install -y --no-install-recommends ${packages.join(' ')}`;
  // Without an init system the packages must not try to start anything.
  const policy =
    "printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d";
  // Debian's PostgreSQL packages create a cluster; the image's entrypoint makes its own.
  const cluster =
    "mkdir -p /etc/postgresql-common/createcluster.d; echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/none.conf";
  const lists = '/etc/apt/sources.list';
  const older = suite ? `sed 's/${SUITE}/${suite}/g' ${lists} >${lists}.d/older.list` : 'true';
  return `set -e; ${policy}; ${cluster}; ${older}; ${apt} update; ${install}; rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb`;
}
