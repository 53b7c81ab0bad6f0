import { dirname, join } from 'node:path';
import { removeDurably, writeDurably } from '../../core/runtime/durable-files.ts';
import { between, type Checkpoint } from '../checkpoint.ts';
import { readSealed, type SealKind, seal } from './sealed.ts';

const KIND: SealKind = { format: 'dropback-stopped', version: 1 };

/** What was running when a restore stopped it, in the order of stopping. */
export interface StoppedContainers {
  readonly restoreId: string;
  readonly names: readonly string[];
  /** ISO 8601, UTC. */
  readonly at: string;
}

export type StoppedCondition =
  | { readonly kind: 'none' }
  | { readonly kind: 'known'; readonly stopped: StoppedContainers }
  /** There is such a file, but it can't be read. */
  | { readonly kind: 'unusable' };

/**
 * `stopped.json` beside the journal: durable before the first stop, removed after the last start.
 * It alone is enough to bring the application back.
 */
export class StoppedFile {
  readonly #path: string;
  readonly #checkpoint: Checkpoint;

  constructor(stateFile: string, checkpoint: Checkpoint) {
    this.#path = join(dirname(stateFile), 'stopped.json');
    this.#checkpoint = checkpoint;
  }

  async read(): Promise<StoppedCondition> {
    const file = await readSealed<StoppedContainers>(KIND, this.#path);
    if (file.kind === 'valid') return { kind: 'known', stopped: file.body };
    return { kind: file.kind === 'missing' ? 'none' : 'unusable' };
  }

  async write(stopped: StoppedContainers): Promise<void> {
    await between(this.#checkpoint, 'write stopped.json', () =>
      writeDurably(this.#path, seal(KIND, 1, stopped)),
    );
  }

  async remove(): Promise<void> {
    await between(this.#checkpoint, 'remove stopped.json', () => removeDurably(this.#path));
  }
}
