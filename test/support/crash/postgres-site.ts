import { rename, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { ident, RestoreBed } from '../../integration/postgres-restore-bed.ts';
import type { TestServer } from '../testbed.ts';
import { type Content, type CrashSite, contentOf, ITEMS } from './site.ts';

/** One of each kind of file: they are loaded by different programs. */
const FORMATS = {
  A: ['postgres-plain', 'sql'],
  B: ['postgres-custom', 'dump'],
} as const;

const KEPT = /^dropback_p_[0-9a-f]{16}$/;

/** A live database on a real server; the daemon reaches it through `port`. */
export class PostgresSite implements CrashSite {
  readonly name: string;
  /** What the daemon connects to: a proxy in front of the server, where there is one. */
  port: number;
  readonly #bed: RestoreBed;
  readonly #isPrivate: boolean;
  readonly #dumps: Readonly<Record<Content, string>>;

  private constructor(bed: RestoreBed, dumps: Record<Content, string>, isPrivate: boolean) {
    this.#isPrivate = isPrivate;
    this.name = `PostgreSQL ${bed.server.major}`;
    this.port = bed.server.port;
    this.#bed = bed;
    this.#dumps = dumps;
  }

  /** `isPrivate`: the server goes as a whole, with what is in it. */
  static async create(server: TestServer, isPrivate = false): Promise<PostgresSite> {
    const bed = await RestoreBed.create(server);
    const dumps: Record<Content, string> = { A: '', B: '' };
    for (const content of ['A', 'B'] as const) {
      await bed.sql(`DROP TABLE IF EXISTS items`);
      await bed.sql(`CREATE TABLE items (id int PRIMARY KEY, v text NOT NULL)`);
      await bed.sql(`INSERT INTO items SELECT i, '${content}' FROM generate_series(1, ${ITEMS}) i`);
      await bed.sql(`ALTER TABLE items OWNER TO ${ident(bed.owner)}`);
      const [format, extension] = FORMATS[content];
      const { path } = await bed.dump(format, bed.live);
      dumps[content] = `${path}.${extension}`;
      await rename(path, dumps[content]);
    }
    const site = new PostgresSite(bed, dumps, isPrivate);
    await bed.sql(`UPDATE items SET v = 'A'`);
    return site;
  }

  environment() {
    const { password } = this.#bed.server;
    const login = `postgres:${encodeURIComponent(password || 'none')}`;
    return { DATABASE_URL: `postgresql://${login}@127.0.0.1:${this.port}/${this.#bed.live}` };
  }

  dumpOf(content: Content): string {
    return this.#dumps[content];
  }

  live(): Promise<string> {
    return this.#contentOf(this.#bed.live);
  }

  async kept(): Promise<string[]> {
    const names = (await this.#databases()).filter((name) => KEPT.test(name));
    return Promise.all(names.map((name) => this.#contentOf(name)));
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
    for (const name of await this.#databases()) {
      await this.#query(`DROP DATABASE IF EXISTS ${ident(name)} WITH (FORCE)`, []);
    }
    await this.#bed[Symbol.asyncDispose]();
  }
}
