import { link, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import {
  ensureFolder,
  syncFolder,
  temporaryName,
  writeAndSync,
} from '../../core/runtime/durable-files.ts';
import type { Checkpoint } from '../checkpoint.ts';
import type { JobRecord, JournalBody } from './record.ts';
import { readSealed, type SealKind, seal, type Unsealed } from './sealed.ts';

const KIND: SealKind = { format: 'dropback-journal', version: 1 };

export type JournalCondition =
  | {
      readonly kind: 'usable';
      readonly body: JournalBody;
      readonly warning?: string;
      /** There is none yet, or it was lost. */
      readonly isNew?: true;
    }
  /** Nothing that can be relied on: `why` says what was found in each of the two files. */
  | { readonly kind: 'unusable'; readonly why: string };

/**
 * RESTORE_STATE_FILE and, beside it, `.1`: the generation before. A write never touches the only
 * good copy: the new generation is fsynced aside, the present one becomes `.1`, then it is renamed
 * into place.
 */
export class Journal {
  readonly #path: string;
  readonly #checkpoint: Checkpoint;
  #generation = 0;
  #body: JournalBody = { record: null, last: null };

  constructor(path: string, checkpoint: Checkpoint) {
    this.#path = path;
    this.#checkpoint = checkpoint;
  }

  get path(): string {
    return this.#path;
  }

  get body(): JournalBody {
    return this.#body;
  }

  /** Reads both generations; the newer intact one counts. */
  async load(): Promise<JournalCondition> {
    await ensureFolder(dirname(this.#path));
    const current = await readSealed<JournalBody>(KIND, this.#path);
    const before = await readSealed<JournalBody>(KIND, `${this.#path}.1`);
    const condition = judge(current, before);
    if (condition.kind === 'usable') {
      this.#body = condition.body;
      this.#generation = Math.max(generationOf(current), generationOf(before));
    }
    return condition;
  }

  /** Makes the record durable; null when no job is in hand any more. */
  async write(record: JobRecord | null, name: string): Promise<void> {
    await this.#replace({ record, last: record?.report ?? this.#body.last }, name);
  }

  async #replace(body: JournalBody, name: string): Promise<void> {
    await this.#checkpoint(`before journal ${name}`);
    const generation = this.#generation + 1;
    const aside = temporaryName(this.#path);
    try {
      await writeAndSync(aside, seal(KIND, generation, body));
      await this.#keepPresent();
      await this.#checkpoint(`between generations ${name}`);
      await rename(aside, this.#path);
    } catch (error) {
      await rm(aside, { force: true });
      throw error;
    }
    await syncFolder(dirname(this.#path));
    this.#generation = generation;
    this.#body = body;
    await this.#checkpoint(`after journal ${name}`);
  }

  /** The present generation gets the second name too; it keeps its own until it is replaced. */
  async #keepPresent(): Promise<void> {
    const present = await readSealed<JournalBody>(KIND, this.#path);
    if (present.kind !== 'valid') return;
    const second = join(dirname(this.#path), `.${basename(this.#path)}.1.tmp`);
    await rm(second, { force: true });
    await link(this.#path, second);
    await rename(second, `${this.#path}.1`);
    // rename(2) does nothing when both names are links to one file already.
    await rm(second, { force: true });
  }
}

function generationOf(file: Unsealed<JournalBody>): number {
  return file.kind === 'valid' ? file.generation : 0;
}

function judge(current: Unsealed<JournalBody>, before: Unsealed<JournalBody>): JournalCondition {
  const newer = [current, before].find((file) => file.kind === 'newer');
  if (newer?.kind === 'newer') {
    return { kind: 'unusable', why: `it was written by a newer version (format ${newer.version})` };
  }
  const candidates = [current, before].filter((file) => file.kind === 'valid');
  const [best] = candidates.toSorted((a, b) => b.generation - a.generation);
  if (best) {
    const isLost = current.kind === 'damaged' || current.kind === 'foreign';
    const warning = `the newest generation of the journal is ${current.kind}; the one before is used`;
    return { kind: 'usable', body: best.body, ...(isLost ? { warning } : {}) };
  }
  const absent = (file: Unsealed<JournalBody>) => file.kind === 'missing' || file.kind === 'empty';
  // A bind-mounted state file begins as an empty one; a second generation would belie that.
  if (absent(current) && before.kind === 'missing') {
    return { kind: 'usable', body: { record: null, last: null }, isNew: true };
  }
  return {
    kind: 'unusable',
    why: `state file: ${current.kind}, second generation: ${before.kind}`,
  };
}
