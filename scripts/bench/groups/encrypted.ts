import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { BackupContestants } from '../contestants.ts';
import type { Lab } from '../lab.ts';
import type { Series } from '../series.ts';

const run = promisify(execFile);

export async function encryptedGroup(lab: Lab): Promise<Series[]> {
  const { stdout } = await run('age-keygen').catch(() => ({ stdout: '' }));
  const recipient = /age1\w+/.exec(stdout)?.[0];
  if (recipient === undefined) {
    lab.leaveOut('encrypted: the program age is not installed');
    return [];
  }
  await lab.server();
  const who = new BackupContestants(lab);
  const contestants = [
    who.dropback('encrypted/age', 'Dropback, encrypted', { BACKUP_AGE_RECIPIENTS: recipient }),
    who.dropback('encrypted/plain', 'Dropback'),
    // What can be encrypted on its way is one stream: so much of the difference is the form's.
    who.dropback('encrypted/stream', 'Dropback, BACKUP_JOBS=1', { BACKUP_JOBS: '1' }),
    who.script(
      'encrypted/script',
      'pg_dump | gzip | age',
      `pg_dump | gzip | age -r ${recipient} > dump.sql.gz.age`,
    ),
  ];
  return await lab.takeTurns(contestants);
}
