import { findProgram } from '../../../src/core/runtime/process/find-program.ts';
import { TestPrefix } from '../../../test/support/s3.ts';
import type { TestS3 } from '../../../test/support/testbed.ts';
import { BackupContestants } from '../contestants.ts';
import type { Lab } from '../lab.ts';
import type { Contestant, Series } from '../series.ts';
import { Throttle } from '../throttle.ts';

const HELD_TO_MB = 50;

/** From the lock (or the start of the script) to everything in the bucket. */
export async function uploadGroup(lab: Lab): Promise<Series[]> {
  const { s3 } = lab;
  if (!s3) {
    lab.leaveOut('upload: there is no S3 endpoint');
    return [];
  }
  await lab.server();
  await using throttle = await Throttle.before(s3.endpoint, HELD_TO_MB);
  await using prefix = new TestPrefix(s3);
  const contestants = [
    ...across(lab, s3, prefix, 'upload', 'gzip'),
    ...across(lab, { ...s3, endpoint: throttle.endpoint }, prefix, 'held', 'zstd'),
  ];
  return await lab.takeTurns(contestants);
}

const STREAMS = {
  gzip: { text: 'pg_dump | gzip', file: 'dump.sql.gz' },
  zstd: { text: 'pg_dump -Fc -Z zstd:3', file: 'dump' },
} as const;

function across(
  lab: Lab,
  s3: TestS3,
  prefix: TestPrefix,
  group: string,
  kind: keyof typeof STREAMS,
): Contestant[] {
  const who = new BackupContestants(lab);
  const stream = STREAMS[kind];
  const found: Contestant[] = [
    who.dropback(
      `${group}/dropback`,
      'Dropback, local and S3',
      s3Variables(s3, prefix, `${group}-default`),
      'uploaded',
    ),
    who.dropback(
      `${group}/stream`,
      'Dropback, local and S3, BACKUP_JOBS=1',
      { ...s3Variables(s3, prefix, `${group}-stream`), BACKUP_JOBS: '1' },
      'uploaded',
    ),
  ];
  const target = `${s3.bucket}/${prefix.prefix}/app/${stream.file}`;
  const scripts = {
    rclone: `${stream.text} | rclone --quiet --s3-no-check-bucket rcat bench:${target}`,
    aws: `${stream.text} | aws --endpoint-url ${s3.endpoint} s3 cp --quiet - s3://${target}`,
  };
  for (const [program, script] of Object.entries(scripts)) {
    if (!findProgram(program)) {
      lab.leaveOut(`${group}: ${program} is not installed`);
      continue;
    }
    const name = `${stream.text} | ${program === 'aws' ? 'aws s3 cp -' : 'rclone rcat'}`;
    found.push(who.script(`${group}/${program}`, name, script, theirs(s3)));
  }
  return found;
}

/** Of a daemon that uploads there; two backups of one second need places of their own. */
export function s3Variables(
  s3: TestS3,
  { prefix }: TestPrefix,
  place: string,
): Record<string, string> {
  return {
    S3_ENDPOINT: s3.endpoint,
    S3_BUCKET: s3.bucket,
    S3_PREFIX: `${prefix}/${place}`,
    S3_REGION: s3.region,
    S3_FORCE_PATH_STYLE: 'true',
    S3_KEEP_LAST: '1',
    AWS_ACCESS_KEY_ID: s3.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
  };
}

function theirs(s3: TestS3): Record<string, string> {
  return {
    AWS_ACCESS_KEY_ID: s3.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
    AWS_DEFAULT_REGION: s3.region,
    RCLONE_CONFIG_BENCH_TYPE: 's3',
    RCLONE_CONFIG_BENCH_PROVIDER: 'Ceph',
    RCLONE_CONFIG_BENCH_ENDPOINT: s3.endpoint,
    RCLONE_CONFIG_BENCH_REGION: s3.region,
    RCLONE_CONFIG_BENCH_ENV_AUTH: 'true',
  };
}
