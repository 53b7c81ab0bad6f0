import { setTimeout as sleep } from 'node:timers/promises';
import { TestPrefix } from '../../../test/support/s3.ts';
import { BackupContestants } from '../contestants.ts';
import type { Lab } from '../lab.ts';
import { Neighbour } from '../neighbour.ts';
import type { Contestant, Series } from '../series.ts';
import { s3Variables } from './upload.ts';

const ALONE_MS = 10_000;
const TINY_ALONE_MS = 500;
const LIMIT = '20MB';

/** What an application on the same server and processors has to wait while it is backed up, or restored. */
export async function neighboursGroup(lab: Lab): Promise<Series[]> {
  await lab.server();
  await Neighbour.moveIn(lab);
  const { s3 } = lab;
  await using prefix = s3 ? new TestPrefix(s3) : undefined;
  const to = (place: string) => (s3 && prefix ? s3Variables(s3, prefix, place) : {});
  const who = new BackupContestants(lab);
  const aloneMs = lab.options.megabytes < 100 ? TINY_ALONE_MS : ALONE_MS;
  const contestants = [
    {
      id: 'neighbours/alone',
      name: 'nothing',
      run: async () => {
        await sleep(aloneMs);
        return { seconds: aloneMs / 1000 };
      },
    },
    who.script('neighbours/gzip', 'pg_dump | gzip', 'pg_dump | gzip > dump.sql.gz'),
    who.dropback('neighbours/backup', 'Dropback'),
    who.dropback('neighbours/backup-nice', 'Dropback, BACKUP_NICE=10', { BACKUP_NICE: '10' }),
    who.dropback('neighbours/backup-stream', 'Dropback, BACKUP_JOBS=1', { BACKUP_JOBS: '1' }),
    who.dropback('neighbours/rehearsal', 'Dropback, rehearsed (BACKUP_VERIFY=restore)', {
      BACKUP_VERIFY: 'restore',
    }),
    ...(s3
      ? [
          who.dropback('neighbours/upload', 'Dropback, local and S3', to('upload'), 'uploaded'),
          who.dropback(
            'neighbours/upload-held',
            `Dropback, local and S3, S3_UPLOAD_LIMIT=${LIMIT}`,
            { ...to('held'), S3_UPLOAD_LIMIT: LIMIT },
            'uploaded',
          ),
        ]
      : []),
  ];
  return await lab.takeTurns(contestants.map((one) => beside(lab, one)));
}

/** The same with an application at work, whose response times are added to the figures. */
function beside(lab: Lab, contestant: Contestant): Contestant {
  const run = async () => {
    await using neighbour = await Neighbour.start(lab);
    const since = Date.now();
    const sample = await contestant.run();
    const { median, p95, p99 } = await neighbour.leave(since);
    return { ...sample, facts: { ...sample.facts, medianMs: median, p95Ms: p95, p99Ms: p99 } };
  };
  return { ...contestant, run };
}
