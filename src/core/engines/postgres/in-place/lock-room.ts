import type { CheckResult } from '../../engine.ts';
import type { Session } from '../session.ts';

/** The server reserves so much more than it promises. */
const SPARE = 1.1;
/** A table, what stores its long values, with its index, and a key. */
const RELATIONS_OF_TABLE = 4;

/** What a DROP takes locks of, one by one. */
const DROPPED = [
  'pg_class',
  'pg_type',
  'pg_constraint',
  'pg_attrdef',
  'pg_trigger',
  'pg_rewrite',
  'pg_policy',
  'pg_proc',
];

/**
 * One transaction drops everything and makes it anew, and keeps a lock on each object until its end.
 * Where the server's table of locks can't hold as many, it would fail with the containers stopped.
 * `tables` is how many the archive has; default: as many as the database.
 */
export async function lockRoom(inLive: Session, tables?: number): Promise<CheckResult[]> {
  const { dropped, relations, referenced, here } = await readObjects(inLive);
  const wanted = tables ?? here;
  const likeHere = relations + (inLive.major >= 18 ? referenced : 0);
  const made = here > 0 ? (likeHere * wanted) / here : wanted * RELATIONS_OF_TABLE;
  const needed = Math.ceil(dropped + made);
  const { room, perTransaction } = await readRoom(inLive);
  if (needed <= room * SPARE) return [];
  const advised = Math.ceil((perTransaction * needed) / room);
  return [
    {
      id: 'postgres/in-place/locks',
      status: 'failed',
      message: `in place about ${needed} objects are locked at a time, and the server has room for ${room}`,
      hint: `set max_locks_per_transaction to ${advised} on the server (it is ${perTransaction}; that needs a restart), or give the role CREATEDB and unset RESTORE_IN_PLACE: a staging database needs no more locks for more tables.`,
    },
  ];
}

interface Objects {
  readonly dropped: number;
  /** What a CREATE takes a lock of. */
  readonly relations: number;
  /** The same of a server that locks what new objects depend on: 18. */
  readonly referenced: number;
  readonly here: number;
}

async function readObjects(inLive: Session): Promise<Objects> {
  const each = DROPPED.map(
    (catalog) => `SELECT '${catalog}'::regclass AS class, oid FROM ${catalog} WHERE oid >= 16384`,
  );
  const row = await inLive.queryOne<Record<keyof Objects, string>>(
    `SELECT (SELECT count(*) FROM (${each.join(' UNION ALL ')}) o
              WHERE NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = o.class AND e.objid = o.oid
                                   AND e.objsubid = 0 AND e.deptype = 'e')) AS dropped,
            (SELECT count(*) FROM pg_constraint WHERE oid >= 16384) +
            (SELECT count(*) FROM pg_type WHERE oid >= 16384 AND typtype = 'c') AS referenced,
            count(*) AS relations, count(*) FILTER (WHERE relkind IN ('r', 'p')) AS here
       FROM pg_class WHERE oid >= 16384 AND relpersistence <> 't'`,
  );
  return {
    dropped: Number(row.dropped),
    relations: Number(row.relations),
    referenced: Number(row.referenced),
    here: Number(row.here),
  };
}

/** As the server reckons it when it starts (InitLocks): so many for each session that may be. */
async function readRoom(inLive: Session): Promise<{ room: number; perTransaction: number }> {
  const { per, sessions } = await inLive.queryOne<Record<string, string>>(
    `SELECT max(setting::bigint) FILTER (WHERE name = 'max_locks_per_transaction') AS per,
            sum(setting::bigint) FILTER (WHERE name <> 'max_locks_per_transaction') AS sessions
       FROM pg_settings
      WHERE name IN ('max_locks_per_transaction', 'max_connections', 'max_prepared_transactions',
                     'max_worker_processes', 'max_wal_senders',
                     CASE WHEN EXISTS (SELECT FROM pg_settings WHERE name = 'autovacuum_worker_slots')
                          THEN 'autovacuum_worker_slots' ELSE 'autovacuum_max_workers' END)`,
  );
  const perTransaction = Number(per);
  return { room: perTransaction * Number(sessions), perTransaction };
}
