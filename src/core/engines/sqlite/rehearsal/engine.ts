import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { DropbackError } from '../../../runtime/errors.ts';
import { sha256Of } from '../../../runtime/process/sha256.ts';
import { assertionFailed, describeAnswer, queryImpossible, queryInvalid } from '../../assertion.ts';
import type {
  CheckResult,
  DatabaseLock,
  LockRequest,
  Rehearsal,
  RehearsalEngine,
  RehearsalRequest,
} from '../../engine.ts';
import { takeLock } from '../lock.ts';
import type { ContentFacts } from '../protocol.ts';
import { differences } from '../restore/differences.ts';
import { type AskOptions, SqliteTool } from '../tool-client.ts';
import { shortened, warningsOf } from '../warnings.ts';

/**
 * The unpacked file is the scratch database: it is read whole, checked and asked, without any server
 * and without a look at the live file.
 */
export class SqliteRehearsalEngine implements RehearsalEngine {
  readonly kind = 'sqlite';
  readonly description: string;
  readonly #folder: string;
  readonly #tool = new SqliteTool();

  /** `folder`: our own, where rehearsals of this database are done. */
  constructor(folder: string) {
    this.#folder = folder;
    this.description = folder;
  }

  /** Nothing but what a backup needs too. */
  async checks(): Promise<CheckResult[]> {
    return [];
  }

  async lock(request: Omit<LockRequest, 'purpose'>, signal: AbortSignal): Promise<DatabaseLock> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const folder = this.#folder;
    const location = {
      path: join(folder, 'rehearsal'),
      folder,
      base: 'rehearsal',
      exists: false,
      owner: { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 },
      runAs: undefined,
    };
    return await takeLock(this.#tool, location, { ...request, purpose: 'rehearsal' }, signal);
  }

  /** What is left lies in work folders, which are their owner's to remove. */
  async sweep(): Promise<string[]> {
    return [];
  }

  async rehearse(request: RehearsalRequest, signal: AbortSignal): Promise<Rehearsal> {
    const { manifest, archive, workFolder, queries, onProgress } = request;
    const { path } = archive;
    // Where the archive had room, what SQLite sorts has some, too.
    const options = { signal, temporaryFolder: workFolder };
    onProgress('checking the file');
    await requireContent(request, signal);
    const facts = await this.#tool.ask('inspect', { path }, options);
    requireSound(facts, manifest.id);
    requireReferences(facts, manifest.database.notValid);
    const wrong = differences(manifest.tables, facts.tables);
    if (wrong.length > 0) throw rowsDiffer(wrong);
    if (queries.length > 0) onProgress('asking BACKUP_VERIFY_SQL');
    await this.#ask(path, queries, options);
    const { tables, notChecked } = facts;
    return {
      tables,
      notCovered: shortened(notChecked),
      warnings: warningsOf({ ...facts, notChecked: [] }),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #ask(path: string, queries: readonly string[], options: AskOptions): Promise<void> {
    if (queries.length === 0) return;
    const answers = await this.#tool.ask('ask', { path, queries }, options);
    for (const [index, answer] of answers.entries()) {
      const query = queries[index] ?? '';
      if ('error' in answer) throw notAnswered(query, answer.error);
      const { rows, value } = answer;
      if (rows !== 1 || value !== 1) throw assertionFailed(query, describeAnswer(rows, value));
    }
  }
}

const NO_QUERY = /syntax error|incomplete input|unrecognized token/;
const NOT_HERE = /no such (function|collation sequence|module|table-valued function)/;
const NOT_ALLOWED = /readonly database|not authorized|prohibited/;

function notAnswered(query: string, why: string): DropbackError {
  if (NO_QUERY.test(why)) return queryInvalid(query, why);
  if (NOT_HERE.test(why)) {
    const hint = 'it needs what only the application brings: ask for something else.';
    return queryImpossible(query, why, { hint });
  }
  if (NOT_ALLOWED.test(why)) {
    const hint = 'a query may only read, and only what is in the backup.';
    return queryImpossible(query, why, { hint });
  }
  return assertionFailed(query, `it failed: ${why}`);
}

/** The content's checksum is that of a copy that was found sound when it was made. */
async function requireContent(
  { manifest, archive }: RehearsalRequest,
  signal: AbortSignal,
): Promise<void> {
  const expected = manifest.archive.contentSha256;
  if (expected === undefined) return;
  await using file = await open(archive.path, 'r');
  const found = await sha256Of([], { signal, stdinFd: file.fd });
  if (found === expected) return;
  throw new DropbackError('verify/content-differs', 'the unpacked file has another checksum', {
    hint: 'the backup is damaged: use another one, and look for a failing disk.',
    facts: { expected, found },
  });
}

function requireSound({ damage }: ContentFacts, id: string): void {
  const [first] = damage;
  if (first === undefined) return;
  throw new DropbackError('drop/corrupt', `the database in ${id} is damaged: ${first}`, {
    hint: 'use another backup; then check the live file with PRAGMA integrity_check.',
    facts: { damage: damage.slice(0, 20) },
  });
}

/** References that were broken in the source too are its own affair. */
function requireReferences({ foreignKeys }: ContentFacts, notValid: readonly string[]): void {
  const fresh = foreignKeys.filter(
    ({ table, parent }) => !notValid.includes(`main.${table}.${parent}`),
  );
  const [first] = fresh;
  if (!first) return;
  throw new DropbackError(
    'verify/foreign-keys',
    `${first.rows} rows of ${first.table} refer to rows of ${first.parent} that are not there`,
    {
      hint: 'they were whole when the backup was made: use another one, and look for a failing disk.',
      facts: { foreignKeys: fresh.slice(0, 20) },
    },
  );
}

function rowsDiffer(wrong: readonly string[]): DropbackError {
  return new DropbackError('restore/rows-differ', `not what was backed up: ${wrong[0]}`, {
    hint: 'the backup is damaged: use another one, and look for a failing disk.',
    facts: { differences: wrong.slice(0, 20) },
  });
}
