import type { Manifest } from '../../core/archive/manifest.ts';
import {
  type StorePlace,
  type Verification,
  withVerification,
} from '../../core/archive/state-file.ts';
import type { VerifyOutcome, VerifyReport } from '../../core/archive/verify-report.ts';
import type { Logger } from '../../core/observability/log.ts';
import type { Doubts } from '../../core/requests/doubts.ts';
import type { Clock } from '../../core/runtime/clock.ts';
import { DropbackError, errorReport, isAbort } from '../../core/runtime/errors.ts';
import type { Catalogue } from '../../core/stores/catalogue.ts';
import type { LocalStore } from '../../core/stores/local/store.ts';
import type { Store } from '../../core/stores/store.ts';
import { removed, unreadableHere } from './errors.ts';
import { readTwiceIfBad } from './read-twice.ts';
import type { Rehearsals } from './rehearsal.ts';
import { type Copy, type Selected, type Selection, selectBackups } from './selection.ts';
import { verdictOf } from './verdict.ts';

export interface VerifierDependencies {
  /** BACKUP_NAME. */
  readonly name: string;
  readonly local: LocalStore;
  readonly remote?: Store;
  readonly catalogue: Catalogue;
  readonly rehearsals: Rehearsals;
  readonly doubts?: Doubts;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface VerifyRequest {
  readonly selection: Selection;
  /** Also restore it into a scratch database. */
  readonly restore: boolean;
  /** Only this one; default: every store that it lies in. */
  readonly store?: StorePlace;
  readonly onProgress: (message: string) => void;
}

/** Of what a verification did not cover, in a state file. */
const MOST_LINES = 20;
const LONGEST = 500;

/** What can't be looked at without an identity, which has no business where backups are made. */
const NOT_DECRYPTED =
  'it is encrypted: read whole and its checksum compared, but not decrypted, for want of the identity; `dropback check` in db-restore does that';

/** One listed backup, and the copy of it. */
interface Rehearsed {
  readonly manifest: Manifest;
  readonly where: StorePlace;
  /** The daemon's own loop alerts of what it finds. */
  readonly onSchedule?: true;
}

const RESTORE = { kind: 'restore' } as const;

/** What a verification found besides that all is well. */
interface Findings extends Pick<Verification, 'tables' | 'rows'> {
  readonly notCovered: readonly string[];
  readonly warnings: readonly string[];
}

/**
 * Proves backups where they lie, and notes what came of it in their state. Nothing that is wrong
 * with a backup, a store or a server is thrown: it is in the report.
 */
export class Verifier {
  readonly #deps: VerifierDependencies;

  constructor(deps: VerifierDependencies) {
    this.#deps = deps;
  }

  /** Throws `store/not-found` where there is no such backup in the stores that answered. */
  async verify(request: VerifyRequest, signal: AbortSignal): Promise<VerifyOutcome> {
    const { catalogue, name, clock } = this.#deps;
    const view = await catalogue.list(signal);
    const unasked = view.unreachable.filter(
      ({ where }) => request.store === undefined || request.store === where,
    );
    let selected: Selected[] = [];
    try {
      selected = selectBackups(view, name, request.selection, clock.now(), request.store);
    } catch (error) {
      if (unasked.length === 0) throw error;
    }
    const reports: VerifyReport[] = [];
    for (const backup of selected)
      reports.push(...(await this.#verifyOne(backup, request, signal)));
    return { reports, unasked };
  }

  /** Restores one listed backup into a scratch database. */
  async rehearse(
    { manifest, where, onSchedule }: Rehearsed,
    onProgress: (message: string) => void,
    signal: AbortSignal,
  ): Promise<VerifyReport> {
    const store = this.#store(where);
    const noted = onSchedule ? ({ kind: 'restore', onSchedule } as const) : RESTORE;
    return await this.#carryOut(noted, manifest, where, signal, async () => {
      if (manifest.archive.encryption) throw unreadableHere(manifest.id);
      const found = await this.#deps.rehearsals.rehearse(manifest, store, onProgress, signal);
      const rows = found.tables.reduce((sum, table) => sum + table.rows, 0);
      const { tables, notCovered, warnings } = found;
      return { tables: tables.length, rows, notCovered, warnings };
    });
  }

  async #verifyOne(
    { id, copies }: Selected,
    { restore, onProgress }: VerifyRequest,
    signal: AbortSignal,
  ): Promise<VerifyReport[]> {
    const reports: VerifyReport[] = [];
    let good: Extract<Copy, { manifest: Manifest }> | undefined;
    for (const copy of copies) {
      const report =
        'damage' in copy
          ? this.#damaged(id, copy)
          : await this.#archive(copy.manifest, copy.where, onProgress, signal);
      reports.push(report);
      if (report.status === 'ok' && 'manifest' in copy) good ??= copy;
    }
    if (!restore || !good) return reports;
    const tell = (message: string) => onProgress(`${id}: ${message}`);
    return [...reports, await this.rehearse(good, tell, signal)];
  }

  #damaged(id: string, { where, damage }: Extract<Copy, { damage: unknown }>): VerifyReport {
    const at = this.#deps.clock.now().toISOString();
    const error = errorReport(damage);
    const status = verdictOf(damage);
    return { id, where, kind: 'archive', status, at, durationMs: 0, warnings: [], error };
  }

  async #archive(
    manifest: Manifest,
    where: StorePlace,
    onProgress: (message: string) => void,
    signal: AbortSignal,
  ): Promise<VerifyReport> {
    const { id, archive } = manifest;
    return await this.#carryOut({ kind: 'archive' }, manifest, where, signal, async () => {
      await readTwiceIfBad(manifest, this.#store(where), signal, (bytes) => {
        const percent = Math.floor((100 * bytes) / Math.max(1, archive.bytes));
        onProgress(`${id}: reading it (${where}, ${percent}%)`);
      });
      return { notCovered: archive.encryption ? [NOT_DECRYPTED] : [], warnings: [] };
    });
  }

  async #carryOut(
    noted: Pick<Verification, 'kind' | 'onSchedule'>,
    manifest: Manifest,
    where: StorePlace,
    signal: AbortSignal,
    work: () => Promise<Findings>,
  ): Promise<VerifyReport> {
    const { clock, log } = this.#deps;
    const { id } = manifest;
    const { kind } = noted;
    const started = clock.monotonic();
    const describe = (): Omit<Verification, 'status'> => ({
      ...noted,
      where,
      at: clock.now().toISOString(),
      durationMs: Math.round(clock.monotonic() - started),
    });
    try {
      const { warnings, notCovered, ...counts } = await work();
      const left = notCovered.length > 0 ? { notCovered: bounded(notCovered) } : {};
      const verification = { ...describe(), status: 'ok' as const, ...counts, ...left };
      await this.#note(manifest, verification);
      return { id, ...verification, where, bytes: manifest.archive.bytes, warnings };
    } catch (error) {
      if (isAbort(error) && signal.aborted) throw error;
      const status = verdictOf(error);
      if (isOfItsFiles(error, status) && (await this.#isRemoved(manifest, where, signal))) {
        const verification = { ...describe(), status: 'inconclusive' as const };
        return { id, ...verification, where, error: errorReport(removed(id)), warnings: [] };
      }
      const verification = { ...describe(), status, error: errorReport(error) };
      if (status === 'failed') log.error({ id, kind, where, error }, 'a backup is not good');
      else log.warn({ id, kind, where, error }, 'a backup could not be verified');
      await this.#note(manifest, verification);
      return { id, ...verification, where, bytes: manifest.archive.bytes, warnings: [] };
    }
  }

  /** Retention goes on beside verifications. */
  async #isRemoved(manifest: Manifest, where: StorePlace, signal: AbortSignal): Promise<boolean> {
    if (where === 'local') return !(await this.#deps.local.lists(manifest.id).catch(() => true));
    return await this.#store(where)
      .confirm(manifest, signal)
      .then(
        () => false,
        (error: unknown) => error instanceof DropbackError && error.code === 'store/not-found',
      );
  }

  /** State is kept in the local folder, for a backup that lies in S3 alone too. */
  async #note(manifest: Manifest, verification: Verification): Promise<void> {
    const { local, log } = this.#deps;
    const { id } = manifest;
    try {
      if (verification.where !== 's3' && !(await local.lists(id))) return;
      await local.prepare();
      await local.updateState(id, (state) => withVerification(state, verification));
      await this.#deps.doubts?.noted(id);
    } catch (error) {
      log.warn({ id, error }, 'what came of a verification could not be noted');
    }
  }

  #store(where: StorePlace): Store {
    const { local, remote } = this.#deps;
    if (where === 'local' || !remote) return local;
    return remote;
  }
}

function bounded(lines: readonly string[]): string[] {
  return lines
    .slice(0, MOST_LINES)
    .map((line) => (line.length > LONGEST ? `${line.slice(0, LONGEST - 1)}…` : line));
}

/** What the removal of a backup that is being read may look like. */
function isOfItsFiles(error: unknown, status: Verification['status']): boolean {
  if (status === 'failed') return true;
  const { code } = errorReport(error);
  return code === 'store/not-found' || code === 'internal/unexpected';
}
