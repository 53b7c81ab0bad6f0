import { DropbackError } from '../../../runtime/errors.ts';
import type { Toc, TocEntry } from '../script/toc.ts';

const MOST_NAMES = 10;
/** What PostgreSQL says where a superuser would have got on. */
const RIGHTS =
  /permission denied|not permitted|must be (the |a )?(owner|superuser|member|able)|must have |only superuser|only roles? with|transition data type cannot be internal/i;
/** Nobody misses a comment. */
const SILENT = new Set(['COMMENT', 'SECURITY LABEL']);
/** Named by the object that they are a part of. */
const PARTS = new Set(['DEFAULT', 'TABLE DATA', 'SEQUENCE OWNED BY', 'SEQUENCE SET']);

export function isAboutRights(message: string): boolean {
  return RIGHTS.test(message);
}

/** What of an archive the load role may not create, and whatever needs that. */
export class NotRehearsed {
  /** Dump ids of what was refused itself. */
  readonly refused: ReadonlySet<number>;
  readonly #refused: readonly TocEntry[];
  readonly #dependents: readonly TocEntry[];
  readonly #ids: ReadonlySet<number>;

  constructor(toc: Toc, refused: ReadonlySet<number>, dependencies: Map<number, number[]>) {
    this.refused = refused;
    this.#ids = withDependents(refused, dependencies);
    const left = toc.entries.filter(({ dumpId }) => this.#ids.has(dumpId));
    this.#refused = left.filter(({ dumpId }) => refused.has(dumpId));
    this.#dependents = left.filter(({ dumpId }) => !refused.has(dumpId));
  }

  static readonly nothing = new NotRehearsed(
    { entries: [] } as unknown as Toc,
    new Set(),
    new Map(),
  );

  has(dumpId: number): boolean {
    return this.#ids.has(dumpId);
  }

  /** Whether an object is missing that others might call without saying so. */
  get isPartial(): boolean {
    return this.#refused.some(({ type }) => !SILENT.has(type));
  }

  /** Names of one type, to be asked by `nameOf`: a listing doesn't tell where the schema ends. */
  namesOf(type: string): ReadonlySet<string> {
    const all = [...this.#refused, ...this.#dependents].filter((entry) => entry.type === type);
    return new Set(all.map(({ schema, name }) => nameOf({ schema: schema ?? '', name })));
  }

  /** For the result of the verification. */
  warnings(): string[] {
    const refused = shown(this.#refused);
    if (refused === undefined) return [];
    const dependents = shown(this.#dependents.filter(({ type }) => !PARTS.has(type)));
    const more = dependents === undefined ? '' : `; nor what needs that: ${dependents}`;
    return [`not rehearsed, because only a superuser may create it: ${refused}${more}`];
  }
}

/** As `pg_restore -l` writes it, where a line is one entry. */
export function nameOf({ schema, name }: { schema: string; name: string }): string {
  return `${schema} ${name}`.replace(/[\r\n]/g, ' ');
}

function shown(entries: readonly TocEntry[]): string | undefined {
  const told = entries.filter(({ type }) => !SILENT.has(type));
  if (told.length === 0) return undefined;
  const names = told.slice(0, MOST_NAMES).map(({ type, schema, name }) => {
    return `${type.toLowerCase()} ${schema === undefined ? '' : `${schema}.`}${name}`;
  });
  const more = told.length > MOST_NAMES ? ` and ${told.length - MOST_NAMES} more` : '';
  return `${names.join(', ')}${more}`;
}

function withDependents(
  roots: ReadonlySet<number>,
  dependencies: Map<number, number[]>,
): ReadonlySet<number> {
  const dependents = new Map<number, number[]>();
  for (const [dumpId, needed] of dependencies) {
    for (const one of needed) {
      const known = dependents.get(one);
      if (known) known.push(dumpId);
      else dependents.set(one, [dumpId]);
    }
  }
  const found = new Set(roots);
  // A set that is iterated also visits what is added meanwhile.
  for (const dumpId of found) for (const next of dependents.get(dumpId) ?? []) found.add(next);
  return found;
}

/** A load that a superuser might have got through: it says nothing of the backup. */
export function notRehearsable(why: string, cause?: unknown): DropbackError {
  return new DropbackError(
    'verify/not-rehearsable',
    `the backup can't be loaded by a role without rights: ${why}`,
    {
      hint: 'functions of the database run as that role in a rehearsal, never as a superuser. The archive itself has been read back whole; restore it by hand to be sure: docs/manifest.md has the commands.',
      cause,
    },
  );
}
