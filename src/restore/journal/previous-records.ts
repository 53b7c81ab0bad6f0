import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { PreviousDatabase, RestoreState } from '../../core/engines/engine.ts';
import { removeDurably, writeDurably } from '../../core/runtime/durable-files.ts';
import { between, type Checkpoint } from '../checkpoint.ts';
import { readSealed, type SealKind, seal } from './sealed.ts';

const KIND: SealKind = { format: 'dropback-previous', version: 1 };

/** A kept database, and the restore that replaced it. */
export interface PreviousRecord {
  readonly previous: PreviousDatabase;
  readonly restoreId: string;
  /** Name of the drop that replaced it. */
  readonly replacedBy: string;
  /** Of that restore: whoever sweeps leftovers must know them. */
  readonly state: RestoreState;
}

/** `previous/<id>.json`: one for each database that is kept. */
export class PreviousRecords {
  readonly #folder: string;
  readonly #checkpoint: Checkpoint;

  constructor(folder: string, checkpoint: Checkpoint) {
    this.#folder = folder;
    this.#checkpoint = checkpoint;
  }

  /** Newest first; files that can't be read are named in `unusable`. */
  async list(): Promise<{ records: PreviousRecord[]; unusable: string[] }> {
    const records: PreviousRecord[] = [];
    const unusable: string[] = [];
    for (const name of await readdir(this.#folder)) {
      if (!/^[0-9a-f]{16}\.json$/.test(name)) continue;
      const file = await readSealed<PreviousRecord>(KIND, join(this.#folder, name));
      if (file.kind === 'valid') records.push(file.body);
      else if (file.kind !== 'missing') unusable.push(name);
    }
    records.sort((a, b) => b.previous.replacedAt.localeCompare(a.previous.replacedAt));
    return { records, unusable };
  }

  async add(record: PreviousRecord): Promise<void> {
    await between(this.#checkpoint, 'write previous record', () =>
      writeDurably(this.#pathOf(record.previous), seal(KIND, 1, record)),
    );
  }

  async remove(previous: PreviousDatabase): Promise<void> {
    await between(this.#checkpoint, 'remove previous record', () =>
      removeDurably(this.#pathOf(previous)),
    );
  }

  #pathOf(previous: PreviousDatabase): string {
    if (!/^[0-9a-f]{16}$/.test(previous.id)) throw new Error(`not an id: ${previous.id}`);
    return join(this.#folder, `${previous.id}.json`);
  }
}
