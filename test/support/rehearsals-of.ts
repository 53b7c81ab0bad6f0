import { readdirSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { Rehearsals } from '../../src/backup/verify/rehearsal.ts';
import type { Manifest } from '../../src/core/archive/manifest.ts';
import type { Rehearsal, RehearsalEngine } from '../../src/core/engines/engine.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { LocalStore } from '../../src/core/stores/local/store.ts';

const never = new AbortController().signal;

/** As the verifier has it done, of a store of its own; `onUnpacked` is called before anything is loaded. */
export async function rehearseFromStore(
  engine: RehearsalEngine,
  { manifest, archive, folder }: { manifest: Manifest; archive: string; folder: string },
  onUnpacked: (path: string) => void = () => {},
): Promise<Rehearsal> {
  const local = new LocalStore(join(folder, 'store'), manifest.name);
  await local.publish(manifest, { path: archive }, never);
  const rehearse = engine.rehearse.bind(engine);
  const own = Object.create(engine) as RehearsalEngine;
  const observed: Pick<RehearsalEngine, 'lock' | 'sweep' | 'rehearse'> = {
    lock: (request, signal) => engine.lock(request, signal),
    sweep: (log, signal) => engine.sweep(log, signal),
    rehearse: async (request, signal) => {
      onUnpacked(request.archive.path);
      return await rehearse(request, signal);
    },
  };
  const rehearsals = new Rehearsals({
    engine: Object.assign(own, observed),
    local,
    folder: join(folder, 'work'),
    queries: [],
    timeoutMs: 600_000,
    log: silentLogger(),
  });
  return await rehearsals.rehearse(manifest, local, () => {}, never);
}

/** Cuts a file to its half; of a folder the largest one. */
export function cutUnpacked(path: string): void {
  const all = statSync(path).isDirectory()
    ? readdirSync(path).map((name) => join(path, name))
    : [path];
  const [largest = path] = all.sort((a, b) => statSync(b).size - statSync(a).size);
  truncateSync(largest, Math.floor(statSync(largest).size / 2));
}
