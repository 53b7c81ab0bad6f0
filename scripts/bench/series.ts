import { cpuSeconds } from './machine.ts';

/** One repetition of one contestant. */
export interface Sample {
  /** Of wall time. */
  readonly seconds: number;
  /** Of processor time that the whole machine spent, the database server included. */
  readonly cpuSeconds?: number;
  /** Of what was written. */
  readonly bytes?: number;
  /** Parts of it and other figures, by name; seconds unless the name says otherwise. */
  readonly facts?: Readonly<Record<string, number>>;
}

export interface Contestant {
  /** `backup/dropback`: goals find it by this. */
  readonly id: string;
  readonly name: string;
  /** Of PostgreSQL and its programs: older ones can't do what it does. */
  readonly leastMajor?: number;
  /** Leaves the world as it was before. */
  run(): Promise<Sample>;
}

export interface Series {
  readonly id: string;
  readonly name: string;
  readonly samples: readonly Sample[];
  /** When the run began that it is of. */
  readonly run?: string;
}

/** A round for each repetition, in which everyone has a turn: what drifts is the same for all. */
export async function takeTurns(
  contestants: readonly Contestant[],
  repetitions: number,
  say: (line: string) => void,
): Promise<Series[]> {
  const samples = contestants.map((): Sample[] => []);
  for (let round = 1; round <= repetitions; round++) {
    // There and back: nobody has the same one before himself each time.
    const order = [...contestants.entries()];
    for (const [index, contestant] of round % 2 === 0 ? order.toReversed() : order) {
      const before = cpuSeconds();
      const sample = await contestant.run();
      const whole = { cpuSeconds: cpuSeconds() - before, ...sample };
      samples[index]?.push(whole);
      say(`${contestant.id} ${round}/${repetitions}: ${told(whole)}`);
    }
  }
  return contestants.map(({ id, name }, index) => ({ id, name, samples: samples[index] ?? [] }));
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

function told({ seconds, cpuSeconds: cpu = 0, bytes, facts = {} }: Sample): string {
  const parts = Object.entries(facts).map(([name, value]) => `${name} ${value.toFixed(3)}`);
  const size = bytes === undefined ? [] : [`${(bytes / 1e6).toFixed(1)} MB`];
  return [`${seconds.toFixed(2)} s`, `${cpu.toFixed(1)} s of CPU`, ...size, ...parts].join(', ');
}
