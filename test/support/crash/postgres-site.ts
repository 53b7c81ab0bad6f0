import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ident, RestoreBed } from '../../integration/postgres-restore-bed.ts';
import type { TestServer } from '../testbed.ts';
import { OwnArchives } from './own-archives.ts';
import { type Content, type CrashSite, contentOf, ITEMS, NOTHING } from './site.ts';

/** One of each kind of file: they are loaded by different programs. */
const FORMATS = {
  A: ['postgres-plain', 'sql'],
  B: ['postgres-custom', 'dump'],
} as const;

const KEPT = /^dropback_p_[0-9a-f]{16}$/;

export interface PostgresSiteOptions {
  /** The server goes as a whole, with what is in it. */
  readonly isPrivate?: boolean;
  /** RESTORE_IN_PLACE: as a role that may create nothing, from own backups. */
  readonly inPlace?: boolean;
}

/** A live database on a real server; the daemon reaches it through `port`. */
export class PostgresSite implements CrashSite {
  readonly name: string;
  /** What the daemon connects to: a proxy in front of the server, where there is one. */
  port: number;
  readonly side: string;
  /** There where restores go in place. */
  readonly archives: OwnArchives | undefined;
  readonly #bed: RestoreBed;
  readonly #isPrivate: boolean;
  readonly #dumps: Readonly<Record<Content, string>>;

  private constructor(
    bed: RestoreBed,
    dumps: Record<Content, string>,
    isPrivate: boolean,
    archives: OwnArchives | undefined,
  ) {
    this.#isPrivate = isPrivate;
    this.archives = archives;
    this.name = `PostgreSQL ${bed.server.major}${archives ? ', in place' : ''}`;
    this.side = `test_side_${bed.id}`;
    this.port = bed.server.port;
    this.#bed = bed;
    this.#dumps = dumps;
  }

  static async create(
    server: TestServer,
    { isPrivate = false, inPlace = false }: PostgresSiteOptions = {},
  ): Promise<PostgresSite> {
    const bed = await RestoreBed.create(server);
    const archives = inPlace ? await OwnArchives.create() : undefined;
    const dumps: Record<Content, string> = { A: '', B: '' };
    for (const content of ['A', 'B'] as const) {
      await bed.sql(`DROP TABLE IF EXISTS items`);
      await bed.sql(`CREATE TABLE items (id int PRIMARY KEY, v text NOT NULL)`);
      await bed.sql(`INSERT INTO items SELECT i, '${content}' FROM generate_series(1, ${ITEMS}) i`);
      await bed.sql(`ALTER TABLE items OWNER TO ${ident(bed.owner)}`);
      dumps[content] = archives
        ? await archives.make(urlOf(bed, bed.server.port, true))
        : await dumpOf(bed, content);
    }
    const site = new PostgresSite(bed, dumps, isPrivate, archives);
    await bed.sql(`UPDATE items SET v = 'A'`);
    return site;
  }

  environment() {
    const { archives } = this;
    const DATABASE_URL = urlOf(this.#bed, this.port, archives !== undefined);
    if (!archives) return { DATABASE_URL };
    return { DATABASE_URL, RESTORE_IN_PLACE: 'true', BACKUP_DIR: archives.folder };
  }

  dumpOf(content: Content): string {
    return this.#dumps[content];
  }

  async live(): Promise<string> {
    const { live } = this.#bed;
    return (await this.#exists(live)) ? this.#contentOf(live) : NOTHING;
  }

  async kept(folder: string): Promise<string[]> {
    const names = (await this.#databases()).filter((name) => KEPT.test(name));
    const dumps = (await readdir(folder)).filter((name) => name.endsWith('.dump'));
    return Promise.all([
      ...names.map((name) => this.#contentOf(name)),
      ...dumps.map((name) => this.#contentOfDump(join(folder, name))),
    ]);
  }

  async sideContent(): Promise<string | undefined> {
    return (await this.#exists(this.side)) ? this.#contentOf(this.side) : undefined;
  }

  removeSide(): Promise<void> {
    return this.#drop(this.side);
  }

  removeLive(): Promise<void> {
    return this.#drop(this.#bed.live);
  }

  async leftovers(): Promise<string[]> {
    const databases = (await this.#databases()).filter((name) => !KEPT.test(name));
    const roles = await this.#query<{ name: string }>(
      `SELECT rolname AS name FROM pg_roles WHERE shobj_description(oid, 'pg_authid') LIKE $1`,
      [this.#mark],
    );
    return [...databases, ...roles.map(({ name }) => name)];
  }

  get #mark(): string {
    return `dropback: % ${JSON.stringify(this.#bed.live)}`.replaceAll('_', '\\_');
  }

  /** Those of this site, known by owner or mark: other tests use the same server. */
  async #databases(): Promise<string[]> {
    const rows = await this.#query<{ name: string }>(
      `SELECT datname AS name FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba
        WHERE datname LIKE 'dropback\\_%' AND (rolname = $1
           OR shobj_description(d.oid, 'pg_database') LIKE $2
           OR shobj_description(r.oid, 'pg_authid') LIKE $2)`,
      [this.#bed.owner, this.#mark],
    );
    return rows.map(({ name }) => name);
  }

  async #exists(name: string): Promise<boolean> {
    const found = await this.#query('SELECT FROM pg_database WHERE datname = $1', [name]);
    return found.length > 0;
  }

  async #drop(name: string): Promise<void> {
    await this.#query(`DROP DATABASE IF EXISTS ${ident(name)} WITH (FORCE)`, []);
  }

  async #contentOfDump(path: string): Promise<string> {
    const script = await this.#bed.tool('pg_restore', ['-a', '-f', '-', path]);
    const rows = new Map<string, number>();
    for (const [, v = ''] of script.matchAll(/^\d+\t(.*)$/gm)) rows.set(v, (rows.get(v) ?? 0) + 1);
    return contentOf([...rows].map(([v, n]) => ({ v, n })));
  }

  /** In a session of its own: the server may have crashed since the last one. */
  async #query<Row extends object>(text: string, values: readonly unknown[]): Promise<Row[]> {
    await using session = await this.#bed.open('postgres');
    return await session.query<Row>(text, values);
  }

  /** Whoever connects at the very moment of a swap may be turned away: asked again for a while. */
  async #contentOf(database: string): Promise<string> {
    const deadline = performance.now() + 30_000;
    for (;;) {
      try {
        await using session = await this.#bed.open(database);
        return contentOf(
          await session.query<{ v: string; n: number }>(
            'SELECT v, count(*)::int AS n FROM public.items GROUP BY v',
          ),
        );
      } catch (error) {
        if (performance.now() > deadline) return `unreadable: ${String(error)}`;
        await sleep(100);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isPrivate) {
      await rm(this.#bed.folder, { recursive: true, force: true });
      return;
    }
    await this.archives?.[Symbol.asyncDispose]();
    for (const name of [this.side, ...(await this.#databases())]) await this.#drop(name);
    await this.#bed[Symbol.asyncDispose]();
  }
}

async function dumpOf(bed: RestoreBed, content: Content): Promise<string> {
  const [format, extension] = FORMATS[content];
  const { path } = await bed.dump(format, bed.live);
  await rename(path, `${path}.${extension}`);
  return `${path}.${extension}`;
}

/** As the superuser of the official image, or as a role that may create nothing. */
function urlOf(bed: RestoreBed, port: number, asOwner: boolean): string {
  const password = asOwner ? 'pw' : encodeURIComponent(bed.server.password || 'none');
  return `postgresql://${asOwner ? bed.owner : 'postgres'}:${password}@127.0.0.1:${port}/${bed.live}`;
}
