import type { AgeIdentity } from '../encryption/identity.ts';

/**
 * What the configuration is once it has been parsed and checked: the only form in which the rest of
 * the code sees what users set. `variables.ts` holds the table of names, defaults and meanings.
 */

export type DatabaseConfig = PostgresDatabase | SqliteDatabase;

export interface PostgresDatabase {
  readonly kind: 'postgres';
  readonly connection: PostgresConnection;
  /** RESTORE_MAINTENANCE_DB: from where locks are taken and swaps are done. */
  readonly maintenanceDatabase: string;
}

export interface SqliteDatabase {
  readonly kind: 'sqlite';
  /** Absolute path. */
  readonly path: string;
}

/** Everything libpq needs; each value already read from its file where NAME_FILE was given. */
export interface PostgresConnection {
  /** Host name, address, or the folder of a Unix socket (begins with `/`). */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password?: string;
  readonly database: string;
  readonly sslMode: SslMode;
  /** Path of a CA bundle; libpq's `sslrootcert`. */
  readonly sslRootCert?: string;
  readonly sslCert?: string;
  readonly sslKey?: string;
}

/** With libpq's meaning: `require` encrypts without checking who answers. */
export type SslMode = 'disable' | 'allow' | 'prefer' | 'require' | 'verify-ca' | 'verify-full';

export interface CommonConfig {
  readonly database: DatabaseConfig;
  /** BACKUP_NAME. */
  readonly name: string;
  /** One of several (DATABASES_FILE): its part of shared folders is called by its name. */
  readonly isOneOfSeveral?: true;
  /** BACKUP_DIR, absolute. */
  readonly backupDir: string;
  readonly s3?: S3Config;
  readonly log: {
    readonly level: LogLevel;
    readonly format: 'json' | 'text';
    /** As in `alerts`. */
    readonly secrets: readonly string[];
  };
  readonly healthPort: number;
  /** PUID and PGID: who owns what is written. */
  readonly owner: { readonly uid: number; readonly gid: number };
  readonly alerts: AlertsConfig;
  /** Things worth telling that are no errors, for example a misspelt variable's nearest name. */
  readonly warnings: readonly string[];
}

export type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';

export interface BackupConfig extends CommonConfig {
  readonly schedule: Schedule;
  readonly onStart: boolean;
  /** BACKUP_AT_ONCE: of several databases; the same for all of them. */
  readonly atOnce: number;
  readonly timeoutMs: number;
  readonly jobs?: number;
  readonly nice: number;
  readonly compressionLevel: number;
  readonly excludeTableData: readonly string[];
  readonly rowCounts: 'exact' | 'archive';
  readonly verify: VerifyConfig;
  /** BACKUP_AGE_RECIPIENTS; none: backups are not encrypted. */
  readonly ageRecipients: readonly string[];
  /** Passwords of roles are saved, encrypted. */
  readonly rolePasswords: boolean;
  readonly hooks: HooksConfig;
  readonly retention: { readonly local: KeepPolicy; readonly s3: KeepPolicy };
}

/** Who is told, and of what. Nobody where neither webhook nor e-mail nor relay is set. */
export interface AlertsConfig {
  readonly webhook?: WebhookConfig;
  readonly email?: EmailConfig;
  /** ALERT_PING_URL: told each run's start, success and failure. */
  readonly pingUrl?: string;
  /** ALERT_RELAY: another daemon fetches the alerts from this one's endpoint. */
  readonly relay: boolean;
  /** ALERT_RELAY_URL: the endpoint whose alerts this daemon hands on. */
  readonly relayUrl?: string;
  /** ALERT_LEVEL. */
  readonly least: 'info' | 'warning' | 'error';
  /** How often a trouble that lasts is told again; 0 is never. */
  readonly repeatMs: number;
  /** Values of every secret variable, of all databases: never to be told, nor logged. */
  readonly secrets: readonly string[];
}

export interface WebhookConfig {
  readonly url: string;
  readonly format: WebhookFormat;
  /** Sent as `Authorization: Bearer`. */
  readonly token?: string;
}

export type WebhookFormat = 'json' | 'slack' | 'discord' | 'teams' | 'ntfy';

export interface EmailConfig {
  readonly host: string;
  readonly port: number;
  /** TLS from the first byte (`smtps://`); else STARTTLS, which a password requires. */
  readonly secure: boolean;
  readonly user?: string;
  readonly password?: string;
  readonly from: string;
  readonly to: readonly string[];
}

/** Commands of the user's own, run by `sh -c` around each backup or restore. */
export interface HooksConfig {
  readonly pre?: string;
  readonly post?: string;
  /** What one of them may take. */
  readonly timeoutMs: number;
}

export interface VerifyConfig {
  /** `restore`: backups are restored into a scratch database, by themselves. */
  readonly mode: 'archive' | 'restore';
  /** BACKUP_VERIFY_URL: another server for scratch databases. */
  readonly connection?: PostgresConnection;
  /** BACKUP_VERIFY_CRON; without it, after each backup. */
  readonly schedule?: Extract<Schedule, { kind: 'cron' }>;
  /** BACKUP_VERIFY_SQL, one query each. */
  readonly queries: readonly string[];
}

export type Schedule =
  | { readonly kind: 'interval'; readonly seconds: number }
  | { readonly kind: 'cron'; readonly expression: string; readonly timeZone?: string };

/** How many to keep of each kind; 0 is none. `days`: everything younger than that. */
export interface KeepPolicy {
  readonly last: number;
  readonly hourly: number;
  readonly daily: number;
  readonly weekly: number;
  readonly monthly: number;
  readonly yearly: number;
  readonly days: number;
}

/** Credentials are not here: the SDK's own chain finds them (`core/stores/s3`). */
export interface S3Config {
  readonly bucket: string;
  /** Without leading or trailing slash; may be empty. */
  readonly prefix: string;
  readonly endpoint?: string;
  readonly region: string;
  readonly forcePathStyle: boolean;
  readonly storageClass?: string;
  readonly serverSideEncryption?: string;
  /** Only with `aws:kms` and `aws:kms:dsse`. */
  readonly kmsKeyId?: string;
  readonly objectLock?: { readonly mode: 'GOVERNANCE' | 'COMPLIANCE'; readonly days: number };
  /** S3_UPLOAD_LIMIT; the same for all databases. */
  readonly uploadBytesPerSecond?: number;
  /** S3_PRUNE: whether this daemon may delete there. */
  readonly prune: boolean;
  /** Static keys where AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or their _FILE) are set. */
  readonly credentials?: S3Credentials;
}

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface RestoreConfig extends CommonConfig {
  /** RESTORE_WATCH_DIR; work, done, failed, previous and requests are its siblings. */
  readonly watchDir: string;
  readonly stateFile: string;
  readonly pollIntervalMs: number;
  readonly settleMs: number;
  /** Control and load identities; only for PostgreSQL. */
  readonly admin?: PostgresConnection;
  readonly load?: PostgresConnection;
  readonly containers: ContainersConfig;
  /** RESTORE_AGE_IDENTITY. */
  readonly ageIdentity?: AgeIdentity;
  readonly stopFirst: boolean;
  readonly hooks: HooksConfig;
  readonly inPlace: boolean;
  readonly maxStagingBytes?: number;
  readonly serverDataDir?: string;
  readonly keepPreviousMs: number;
  readonly waitForBackupMs: number;
  readonly timeoutMs?: number;
}

export interface ContainersConfig {
  /** DOCKER_HOST: `unix:///…` or `tcp://host:port`. */
  readonly dockerHost: string;
  readonly project?: string;
  /** Selectors in order: exact name, `service:NAME`, `label:KEY=VALUE`. */
  readonly stop: readonly string[];
  readonly start: readonly string[];
  readonly stopGraceSeconds: number;
}
