import { Figures, type Results } from '../bench/results.ts';

const SMALL_SIZE = '200MB';
const MEASURED_SIZE = '2GB';

/** What a backup costs, by what the benchmark measured. Bytes are of the database unless they say otherwise. */
export interface Rates {
  /** Bytes that pg_dump writes without compression, for each byte of the database. */
  readonly plainPerByte: number;
  /** Of the archive, for each plain byte. */
  readonly archivePerPlain: number;
  /** One job with a core to itself and one for its backend: plain bytes a second, compressed as they come. */
  readonly jobPlainPerSecond: number;
  /** The same for a stream: `pg_dump -Fc -Z0 | zstd`. */
  readonly streamPlainPerSecond: number;
  /** Processor seconds of server and programs for each plain byte: dumped, compressed, packed and hashed. */
  readonly dumpCpuPerPlain: number;
  readonly streamCpuPerPlain: number;
  /** Processor seconds of reading back, for each byte of the archive. One file takes one core. */
  readonly readBackCpuPerArchive: number;
  /** Seconds that a table takes however small it is. */
  readonly perTable: number;
  /** Seconds of each backup that have nothing to do with its size. */
  readonly perBackup: number;
  /** Wall seconds of a restore, from settled to back, for each byte: two cores. */
  readonly restorePerByte: number;
}

/** Throws where the benchmark has not measured what this rests on. */
export function readRates(results: readonly Results[]): Rates {
  const measured = results.find(({ size }) => size === MEASURED_SIZE);
  const database = measured?.database;
  if (!measured || !database) throw new Error(`there are no figures of ${MEASURED_SIZE}`);
  const figures = new Figures(measured);
  const plain = figures.bytes('backup/limit');
  const archive = figures.bytes('backup/dropback');
  const dumpCpu = figures.cpuSeconds('backup/bare');
  const rates: Rates = {
    plainPerByte: plain / database.bytes,
    archivePerPlain: archive / plain,
    jobPlainPerSecond: plain / figures.seconds('shapes/folder-1-2'),
    streamPlainPerSecond: plain / figures.seconds('shapes/stream-2'),
    dumpCpuPerPlain: dumpCpu / plain,
    streamCpuPerPlain: figures.cpuSeconds('shapes/stream-2') / plain,
    readBackCpuPerArchive: (figures.cpuSeconds('backup/dropback') - dumpCpu) / archive,
    ...fixedCosts(results, plain / figures.seconds('backup/limit')),
    restorePerByte: figures.seconds('restore/own') / database.bytes,
  };
  const missing = Object.entries(rates).filter(([, value]) => !(value >= 0));
  if (missing.length === 0) return rates;
  throw new Error(
    `not measured yet with ${MEASURED_SIZE}: ${missing.map(([name]) => name).join(', ')}`,
  );
}

/** What a small backup takes beyond its bytes; nothing where that wasn't measured. */
function fixedCosts(
  results: readonly Results[],
  plainPerSecond: number,
): Pick<Rates, 'perTable' | 'perBackup'> {
  const small = results.find(({ size }) => size === SMALL_SIZE);
  if (!small?.database) return { perTable: 0, perBackup: 0 };
  const figures = new Figures(small);
  const limit = figures.seconds('backup/limit') - figures.bytes('backup/limit') / plainPerSecond;
  const more = figures.fact('backup/dropback', 'dump') - figures.seconds('backup/bare');
  return {
    perTable: Math.max(0, limit) / small.database.tables,
    perBackup: Math.max(0, more),
  };
}
