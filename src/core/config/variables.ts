/**
 * Every variable that users set: the one place for names, defaults and meanings. The parsers take
 * their defaults from here and the README's table is generated from it, so they cannot disagree.
 */
export interface Variable {
  readonly name: string;
  readonly section: Section;
  /** The value that an unset variable counts as; none where the parser decides. */
  readonly default?: string;
  /** What the table says where there is no `default`. */
  readonly shownDefault?: string;
  /** Markdown, one line. */
  readonly meaning: string;
  /** Its value is never printed. */
  readonly secret?: true;
  /** It belongs to the process: not in an entry of DATABASES_FILE. */
  readonly scope?: 'process';
  /** Which programs read it; the command line reads them all. */
  readonly usedBy: readonly ('db-backup' | 'db-restore')[];
}

export type Section = keyof typeof sectionTitles;

export const sectionTitles = {
  database: 'Database',
  backup: 'Backup',
  retention: 'Retention',
  s3: 'S3',
  restore: 'Restore',
  containers: 'Containers',
  alerts: 'Alerts',
  service: 'Service',
} as const;

const both = ['db-backup', 'db-restore'] as const;
const backup = ['db-backup'] as const;
const restore = ['db-restore'] as const;

/** libpq's own names are read as libpq reads them; POSTGRES_* as the official image does. */
const database = [
  {
    name: 'DATABASE_URL',
    section: 'database',
    secret: true,
    usedBy: both,
    meaning:
      "`postgresql://user:password@host:5432/app`, `sqlite:////absolute/path.db` or `sqlite:///relative.db`; SQLAlchemy's driver suffixes (`postgresql+psycopg2://`) are accepted; special characters percent-encoded",
  },
  {
    name: 'DATABASES_FILE',
    section: 'database',
    scope: 'process',
    usedBy: both,
    meaning: 'several databases in one daemon: a YAML or JSON file, one entry each',
  },
  {
    name: 'PGHOST',
    section: 'database',
    usedBy: both,
    meaning:
      "libpq's variables, instead of DATABASE_URL or for what it leaves out: host, or the folder of a Unix socket",
  },
  { name: 'PGPORT', section: 'database', shownDefault: '5432', usedBy: both, meaning: 'port' },
  { name: 'PGUSER', section: 'database', usedBy: both, meaning: 'user' },
  { name: 'PGPASSWORD', section: 'database', secret: true, usedBy: both, meaning: 'password' },
  {
    name: 'PGDATABASE',
    section: 'database',
    shownDefault: "the user's name",
    usedBy: both,
    meaning: 'database',
  },
  {
    name: 'PGSSLMODE',
    section: 'database',
    shownDefault: 'prefer',
    usedBy: both,
    meaning:
      "`disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`, with libpq's meanings",
  },
  {
    name: 'PGSSLROOTCERT',
    section: 'database',
    usedBy: both,
    meaning: 'path of the CA bundle that `verify-ca` and `verify-full` check against',
  },
  { name: 'PGSSLCERT', section: 'database', usedBy: both, meaning: 'path of a client certificate' },
  { name: 'PGSSLKEY', section: 'database', usedBy: both, meaning: 'path of its key' },
  {
    name: 'POSTGRES_HOST',
    section: 'database',
    usedBy: both,
    meaning:
      'the names that the official image uses, read where neither DATABASE_URL nor PGHOST, PGUSER or PGDATABASE is set: host',
  },
  {
    name: 'POSTGRES_PORT',
    section: 'database',
    shownDefault: '5432',
    usedBy: both,
    meaning: 'port',
  },
  {
    name: 'POSTGRES_USER',
    section: 'database',
    shownDefault: 'postgres',
    usedBy: both,
    meaning: 'user',
  },
  {
    name: 'POSTGRES_PASSWORD',
    section: 'database',
    secret: true,
    usedBy: both,
    meaning: 'password',
  },
  {
    name: 'POSTGRES_DB',
    section: 'database',
    shownDefault: "the user's name",
    usedBy: both,
    meaning: 'database',
  },
] as const satisfies Variable[];

const backups = [
  {
    name: 'BACKUP_NAME',
    section: 'backup',
    scope: 'process',
    shownDefault: 'from database and host',
    usedBy: both,
    meaning:
      'names folders and files; `[a-z0-9._-]`, 1 to 40 characters, begins with a letter or digit; both daemons need the same',
  },
  {
    name: 'BACKUP_INTERVAL_SECONDS',
    section: 'backup',
    default: '86400',
    usedBy: backup,
    meaning: 'seconds from one backup to the next',
  },
  {
    name: 'BACKUP_CRON',
    section: 'backup',
    usedBy: backup,
    meaning: 'instead of the interval: a cron expression, in the time zone TZ',
  },
  {
    name: 'TZ',
    section: 'backup',
    shownDefault: 'UTC',
    usedBy: backup,
    meaning: 'time zone of BACKUP_CRON, for example `Europe/Berlin`; names of files stay in UTC',
  },
  {
    name: 'BACKUP_ON_START',
    section: 'backup',
    default: 'true',
    usedBy: backup,
    meaning: 'a backup at start if the last good one is older than the interval',
  },
  {
    name: 'BACKUP_DIR',
    section: 'backup',
    scope: 'process',
    default: '/backups',
    usedBy: both,
    meaning: 'folder of the local backups',
  },
  {
    name: 'BACKUP_TIMEOUT_SECONDS',
    section: 'backup',
    default: '21600',
    usedBy: backup,
    meaning: 'a backup that takes longer is ended',
  },
  {
    name: 'BACKUP_JOBS',
    section: 'backup',
    shownDefault: '`2`, or `1`',
    usedBy: backup,
    meaning:
      'PostgreSQL: parallel dump jobs, 1 to 64. 1 streams a `.dump.zst`; more write a directory-format dump packed in a `.tar`, faster, which takes up to twice its size on the volume while it is made. Not set: 2, or 1 with encryption, on one core below 1 GB, where room (twice the database), connections or locks (`max_locks_per_transaction`) are scarce, and with more than 2,000 tables and large objects of less than 1 MB each, or more than 10,000. Fewer dump where the server has too few free connections',
  },
  {
    name: 'BACKUP_AT_ONCE',
    section: 'backup',
    scope: 'process',
    default: '2',
    usedBy: backup,
    meaning:
      'of several databases (DATABASES_FILE), how many are backed up at the same time, and how many rehearsed; one that takes longer than an hour no longer counts',
  },
  {
    name: 'BACKUP_NICE',
    section: 'backup',
    default: '0',
    usedBy: backup,
    meaning: 'CPU niceness of the dump, 0 to 19; above 0 its I/O priority is lowered too',
  },
  {
    name: 'BACKUP_EXCLUDE_TABLE_DATA',
    section: 'backup',
    usedBy: backup,
    meaning:
      'comma-separated patterns, as `pg_dump --exclude-table-data` takes them; recorded in the manifest',
  },
  {
    name: 'BACKUP_ROW_COUNTS',
    section: 'backup',
    default: 'exact',
    usedBy: backup,
    meaning: '`exact` counts rows in the snapshot of the dump, `archive` only in the archive',
  },
  {
    name: 'BACKUP_VERIFY',
    section: 'backup',
    default: 'archive',
    usedBy: backup,
    meaning:
      '`archive` reads every backup back; `restore` also restores it into a scratch database, which is compared with it and dropped',
  },
  {
    name: 'BACKUP_VERIFY_URL',
    section: 'backup',
    secret: true,
    usedBy: backup,
    meaning:
      "PostgreSQL: another server for the scratch database, for example `postgresql://verify:5432`; user and password are those of the database unless it names others. Default: the database's own server",
  },
  {
    name: 'BACKUP_VERIFY_CRON',
    section: 'backup',
    usedBy: backup,
    shownDefault: 'after each backup',
    meaning:
      'with `BACKUP_VERIFY=restore`: when to restore the newest backup; a cron expression, in the time zone TZ',
  },
  {
    name: 'BACKUP_VERIFY_SQL',
    section: 'backup',
    usedBy: backup,
    meaning:
      'queries, each ended by a semicolon, that must return one row with one true value on the restored database (SQLite: 1)',
  },
  {
    name: 'BACKUP_AGE_RECIPIENTS',
    section: 'backup',
    usedBy: backup,
    meaning:
      'age recipients (age1…, or SSH public keys), separated by commas: backups are encrypted to all of them',
  },
  {
    name: 'BACKUP_ROLE_PASSWORDS',
    section: 'backup',
    default: 'false',
    usedBy: backup,
    meaning:
      'PostgreSQL: the roles that are saved with each backup keep their passwords (as the server stores them, for which it has to be a superuser). Only with `BACKUP_AGE_RECIPIENTS`',
  },
  {
    name: 'BACKUP_PRE_HOOK',
    section: 'backup',
    usedBy: backup,
    meaning: 'run by `sh -c` before each backup, under its lock; if it fails, so does the backup',
  },
  {
    name: 'BACKUP_POST_HOOK',
    section: 'backup',
    usedBy: backup,
    meaning: 'run after each backup, whatever came of it: `DROPBACK_OUTCOME` is `done` or `failed`',
  },
  {
    name: 'BACKUP_HOOK_TIMEOUT_SECONDS',
    section: 'backup',
    default: '300',
    usedBy: backup,
    meaning: 'a hook that takes longer is ended, and has failed',
  },
] as const satisfies Variable[];

const retention = [
  {
    name: 'BACKUP_KEEP_LAST',
    section: 'retention',
    default: '3',
    usedBy: backup,
    meaning: 'local backups to keep: the newest',
  },
  {
    name: 'BACKUP_KEEP_HOURLY',
    section: 'retention',
    default: '0',
    usedBy: backup,
    meaning: 'one an hour, for so many hours',
  },
  {
    name: 'BACKUP_KEEP_DAILY',
    section: 'retention',
    default: '7',
    usedBy: backup,
    meaning: 'one a day',
  },
  {
    name: 'BACKUP_KEEP_WEEKLY',
    section: 'retention',
    default: '4',
    usedBy: backup,
    meaning: 'one a week',
  },
  {
    name: 'BACKUP_KEEP_MONTHLY',
    section: 'retention',
    default: '6',
    usedBy: backup,
    meaning: 'one a month',
  },
  {
    name: 'BACKUP_KEEP_YEARLY',
    section: 'retention',
    default: '0',
    usedBy: backup,
    meaning: 'one a year',
  },
  {
    name: 'BACKUP_KEEP_DAYS',
    section: 'retention',
    default: '0',
    usedBy: backup,
    meaning:
      'and everything younger than so many days, not counting time in which none was made: neither a pause nor a clock that jumps ahead removes more than any other run',
  },
  {
    name: 'S3_KEEP_LAST',
    section: 'retention',
    default: '3',
    usedBy: backup,
    meaning: 'the same for S3',
  },
  { name: 'S3_KEEP_HOURLY', section: 'retention', default: '0', usedBy: backup, meaning: '' },
  { name: 'S3_KEEP_DAILY', section: 'retention', default: '7', usedBy: backup, meaning: '' },
  { name: 'S3_KEEP_WEEKLY', section: 'retention', default: '4', usedBy: backup, meaning: '' },
  { name: 'S3_KEEP_MONTHLY', section: 'retention', default: '6', usedBy: backup, meaning: '' },
  { name: 'S3_KEEP_YEARLY', section: 'retention', default: '0', usedBy: backup, meaning: '' },
  { name: 'S3_KEEP_DAYS', section: 'retention', default: '0', usedBy: backup, meaning: '' },
] as const satisfies Variable[];

const s3 = [
  {
    name: 'S3_BUCKET',
    section: 's3',
    usedBy: both,
    meaning: 'bucket; without it nothing is uploaded',
  },
  { name: 'S3_PREFIX', section: 's3', usedBy: both, meaning: 'folder in the bucket' },
  {
    name: 'S3_ENDPOINT',
    section: 's3',
    shownDefault: 'AWS',
    usedBy: both,
    meaning: 'URL of another provider, for example `https://s3.eu-central-003.backblazeb2.com`',
  },
  {
    name: 'S3_REGION',
    section: 's3',
    shownDefault: 'AWS_REGION, else `us-east-1`',
    usedBy: both,
    meaning: 'region',
  },
  {
    name: 'S3_FORCE_PATH_STYLE',
    section: 's3',
    shownDefault: 'true where S3_ENDPOINT is set',
    usedBy: both,
    meaning: '`endpoint/bucket` instead of `bucket.endpoint`',
  },
  {
    name: 'S3_STORAGE_CLASS',
    section: 's3',
    usedBy: backup,
    meaning: 'storage class of uploads, for example `STANDARD_IA`',
  },
  {
    name: 'S3_SSE',
    section: 's3',
    usedBy: backup,
    meaning: 'server-side encryption: `AES256`, `aws:kms` or `aws:kms:dsse`',
  },
  {
    name: 'S3_SSE_KMS_KEY_ID',
    section: 's3',
    shownDefault: "the endpoint's own",
    usedBy: backup,
    meaning: 'key for `aws:kms` and `aws:kms:dsse`: its id, ARN or alias',
  },
  {
    name: 'S3_OBJECT_LOCK_MODE',
    section: 's3',
    usedBy: backup,
    meaning: '`GOVERNANCE` or `COMPLIANCE`',
  },
  {
    name: 'S3_OBJECT_LOCK_DAYS',
    section: 's3',
    usedBy: backup,
    meaning: 'days for which uploads are locked',
  },
  {
    name: 'S3_UPLOAD_LIMIT',
    section: 's3',
    scope: 'process',
    usedBy: backup,
    meaning:
      'bytes per second that uploads may take, all together, for example `5MB` or `500kB`; without it as fast as it goes',
  },
  {
    name: 'S3_PRUNE',
    section: 's3',
    default: 'true',
    usedBy: backup,
    meaning: 'whether the daemon may delete old backups in S3',
  },
  {
    name: 'AWS_ACCESS_KEY_ID',
    section: 's3',
    secret: true,
    usedBy: both,
    meaning: "key, with AWS_SECRET_ACCESS_KEY; without them AWS's own credential chain is used",
  },
  {
    name: 'AWS_SECRET_ACCESS_KEY',
    section: 's3',
    secret: true,
    usedBy: both,
    meaning: 'its secret',
  },
  {
    name: 'AWS_SESSION_TOKEN',
    section: 's3',
    secret: true,
    usedBy: both,
    meaning: 'session token of temporary keys',
  },
  { name: 'AWS_REGION', section: 's3', usedBy: both, meaning: 'region where S3_REGION is not set' },
] as const satisfies Variable[];

const restores = [
  {
    name: 'RESTORE_WATCH_DIR',
    section: 'restore',
    scope: 'process',
    default: '/restore/incoming',
    usedBy: restore,
    meaning: 'drop folder; `work`, `done`, `failed`, `previous` and `requests` are made beside it',
  },
  {
    name: 'RESTORE_STATE_FILE',
    section: 'restore',
    scope: 'process',
    default: '/restore/state.json',
    usedBy: restore,
    meaning: 'journal of the restore under way',
  },
  {
    name: 'RESTORE_POLL_INTERVAL',
    section: 'restore',
    default: '5',
    usedBy: restore,
    meaning: 'seconds between two looks at the folder, for mounts without file events',
  },
  {
    name: 'RESTORE_SETTLE_SECONDS',
    section: 'restore',
    default: '300',
    usedBy: restore,
    meaning: 'how long a file that looks truncated may still be growing',
  },
  {
    name: 'RESTORE_ADMIN_URL',
    section: 'restore',
    shownDefault: 'DATABASE_URL',
    secret: true,
    usedBy: restore,
    meaning: 'PostgreSQL role that creates, renames and grants',
  },
  {
    name: 'RESTORE_LOAD_URL',
    section: 'restore',
    secret: true,
    usedBy: restore,
    meaning:
      'PostgreSQL role that loads foreign files, where the admin role may not create roles; what it can set for itself (ALTER ROLE … SET) is reset with each load',
  },
  {
    name: 'RESTORE_MAINTENANCE_DB',
    section: 'restore',
    shownDefault: '`postgres`',
    usedBy: both,
    meaning:
      'database from which locks are taken and databases are swapped; both daemons need the same',
  },
  {
    name: 'RESTORE_STOP_FIRST',
    section: 'restore',
    default: 'false',
    usedBy: restore,
    meaning: 'stop the containers before loading instead of just before the swap',
  },
  {
    name: 'RESTORE_IN_PLACE',
    section: 'restore',
    default: 'false',
    usedBy: restore,
    meaning: 'for roles that may not create databases; own archives only',
  },
  {
    name: 'RESTORE_MAX_STAGING_BYTES',
    section: 'restore',
    shownDefault: "1.5 × the larger of the live database and the archive's content",
    usedBy: restore,
    meaning: 'disk budget of a load, in bytes',
  },
  {
    name: 'RESTORE_SERVER_DATA_DIR',
    section: 'restore',
    usedBy: restore,
    meaning: "path of the server's data folder, if mounted here: its free space is then watched",
  },
  {
    name: 'RESTORE_SQLITE_PATH',
    section: 'restore',
    shownDefault: 'path of DATABASE_URL',
    usedBy: restore,
    meaning: 'SQLite file to restore into',
  },
  {
    name: 'RESTORE_KEEP_PREVIOUS_HOURS',
    section: 'restore',
    default: '24',
    usedBy: restore,
    meaning: 'how long the previous database is kept; the next restore drops it',
  },
  {
    name: 'RESTORE_WAIT_FOR_BACKUP_SECONDS',
    section: 'restore',
    default: '600',
    usedBy: restore,
    meaning: 'how long a restore waits for a running backup',
  },
  {
    name: 'RESTORE_TIMEOUT_SECONDS',
    section: 'restore',
    shownDefault: 'an hour, and a second for each megabyte of content',
    usedBy: restore,
    meaning:
      'how long the inspection, the load and the check of a file may each take; it is refused then',
  },
  {
    name: 'RESTORE_AGE_IDENTITY',
    section: 'restore',
    secret: true,
    usedBy: restore,
    meaning:
      'file of the age identity that encrypted backups and drops are opened with, or the identity itself',
  },
  {
    name: 'RESTORE_PRE_HOOK',
    section: 'restore',
    usedBy: restore,
    meaning:
      'run by `sh -c` before each restore, when the dump has passed every check and before anything is stopped; if it fails, the restore is refused',
  },
  {
    name: 'RESTORE_POST_HOOK',
    section: 'restore',
    usedBy: restore,
    meaning:
      'run after each restore, whatever came of it and when the application is back: `DROPBACK_OUTCOME` is `restored`, `undone`, `refused` or `failed`',
  },
  {
    name: 'RESTORE_HOOK_TIMEOUT_SECONDS',
    section: 'restore',
    default: '300',
    usedBy: restore,
    meaning: 'a hook that takes longer is ended, and has failed',
  },
] as const satisfies Variable[];

const containers = [
  {
    name: 'RESTORE_STOP_CONTAINERS',
    section: 'containers',
    usedBy: restore,
    meaning:
      'comma-separated: exact names, or `service:NAME` and `label:KEY=VALUE` within DROPBACK_PROJECT; stopped in this order, started in reverse',
  },
  {
    name: 'RESTORE_START_CONTAINERS',
    section: 'containers',
    shownDefault: 'those stopped',
    usedBy: restore,
    meaning: 'further containers to start afterwards',
  },
  {
    name: 'RESTORE_STOP_TIMEOUT',
    section: 'containers',
    default: '30',
    usedBy: restore,
    meaning: 'seconds of grace before Docker kills',
  },
  {
    name: 'DOCKER_HOST',
    section: 'containers',
    scope: 'process',
    default: 'unix:///var/run/docker.sock',
    usedBy: restore,
    meaning: "Docker's socket, or `tcp://host:port` of a filtering proxy",
  },
  {
    name: 'DROPBACK_PROJECT',
    section: 'containers',
    usedBy: restore,
    meaning: 'Compose project that `service:` and `label:` look in',
  },
] as const satisfies Variable[];

const alerts = [
  {
    name: 'ALERT_WEBHOOK_URL',
    section: 'alerts',
    secret: true,
    usedBy: both,
    meaning: 'where alerts are posted',
  },
  {
    name: 'ALERT_WEBHOOK_FORMAT',
    section: 'alerts',
    shownDefault: 'by the address, else `json`',
    usedBy: both,
    meaning: '`json`, `slack`, `discord`, `teams` or `ntfy`',
  },
  {
    name: 'ALERT_WEBHOOK_TOKEN',
    section: 'alerts',
    secret: true,
    usedBy: both,
    meaning: 'sent as `Authorization: Bearer …`',
  },
  {
    name: 'ALERT_EMAIL_SMTP_URL',
    section: 'alerts',
    secret: true,
    usedBy: both,
    meaning:
      '`smtp://user:password@mail.example.com:587` (a password is only sent after STARTTLS) or `smtps://…`; special characters percent-encoded',
  },
  {
    name: 'ALERT_EMAIL_TO',
    section: 'alerts',
    usedBy: both,
    meaning: 'comma-separated addresses',
  },
  {
    name: 'ALERT_EMAIL_FROM',
    section: 'alerts',
    shownDefault: "the mail server's user",
    usedBy: both,
    meaning: 'sender',
  },
  {
    name: 'ALERT_LEVEL',
    section: 'alerts',
    default: 'info',
    usedBy: both,
    meaning: 'the least that is told: `info` (restores too), `warning` or `error`',
  },
  {
    name: 'ALERT_REPEAT_HOURS',
    section: 'alerts',
    default: '24',
    usedBy: both,
    meaning: 'a trouble that lasts is told again after so many hours; 0: once',
  },
  {
    name: 'ALERT_PING_URL',
    section: 'alerts',
    secret: true,
    usedBy: backup,
    meaning:
      "dead man's switch, as healthchecks.io takes it: each run posts to `…/start`, then to the address itself or to `…/fail`, with the log's tail",
  },
  {
    name: 'ALERT_RELAY',
    section: 'alerts',
    scope: 'process',
    default: 'false',
    usedBy: restore,
    meaning: 'offers its alerts at `/alerts` of `HEALTH_PORT`, for a db-restore without a way out',
  },
  {
    name: 'ALERT_RELAY_URL',
    section: 'alerts',
    scope: 'process',
    usedBy: backup,
    meaning: 'endpoint of that db-restore, whose alerts db-backup sends: `http://db-restore:8080`',
  },
] as const satisfies Variable[];

const service = [
  {
    name: 'DROPBACK_DAEMON',
    section: 'service',
    scope: 'process',
    shownDefault: 'found out by the image',
    usedBy: both,
    meaning:
      '`db-backup` or `db-restore`: whose container `dropback` runs in, so that `doctor` checks what this one needs',
  },
  {
    name: 'PUID',
    section: 'service',
    scope: 'process',
    default: '1000',
    usedBy: both,
    meaning:
      'user that the daemons run as; 0 is only for an engine without root, whose root is you',
  },
  {
    name: 'PGID',
    section: 'service',
    scope: 'process',
    default: '1000',
    usedBy: both,
    meaning: 'group that the daemons run as',
  },
  {
    name: 'HEALTH_PORT',
    section: 'service',
    scope: 'process',
    default: '8080',
    usedBy: both,
    meaning: 'port of `/healthz`, `/readyz` and `/status`; 0 goes without',
  },
  {
    name: 'LOG_LEVEL',
    section: 'service',
    scope: 'process',
    default: 'info',
    usedBy: both,
    meaning: '`fatal`, `error`, `warn`, `info`, `debug`, `trace` or `silent`',
  },
  {
    name: 'LOG_FORMAT',
    section: 'service',
    scope: 'process',
    default: 'json',
    usedBy: both,
    meaning: '`json`, or `text` for people',
  },
] as const satisfies Variable[];

const table = [
  ...database,
  ...backups,
  ...retention,
  ...s3,
  ...restores,
  ...containers,
  ...alerts,
  ...service,
] as const;

export type VariableName = (typeof table)[number]['name'];

/** In the order of the README. */
export const variables: readonly (Variable & { readonly name: VariableName })[] = table;

export const variableNames: readonly VariableName[] = table.map(({ name }) => name);

const byName = new Map<string, Variable>(variables.map((variable) => [variable.name, variable]));

export function variable(name: VariableName): Variable {
  const found = byName.get(name);
  if (!found) throw new RangeError(`no such variable: ${name}`);
  return found;
}

/** libpq's further variables: native programs and connections here do not get them. */
export const libpqIgnored: ReadonlySet<string> = new Set([
  'PGHOSTADDR',
  'PGSERVICE',
  'PGSERVICEFILE',
  'PGPASSFILE',
  'PGOPTIONS',
  'PGSSLCRL',
  'PGSSLCRLDIR',
  'PGREQUIREAUTH',
  'PGCHANNELBINDING',
  'PGTARGETSESSIONATTRS',
]);
