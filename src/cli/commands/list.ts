import { CLOCK_TOLERANCE_MS } from '../../core/archive/newest.ts';
import { madeByOthers } from '../../core/archive/origin.ts';
import { doubtOf } from '../../core/archive/state-findings.ts';
import { DropbackError } from '../../core/runtime/errors.ts';
import type { CatalogueEntry } from '../../core/stores/catalogue.ts';
import type { CliContext } from '../context.ts';
import { tableLines } from '../table.ts';
import { colour, printable } from '../terminal.ts';
import { bytesText, countText, durationText } from '../units.ts';

export interface ListOptions {
  readonly json?: boolean;
  readonly store?: 'local' | 's3';
}

/** What is listed in the stores; exits with 1 when one of them could not be asked. */
export async function list(options: ListOptions, context: CliContext): Promise<void> {
  const { terminal, operations, signal } = context;
  const config = context.config.common();
  if (options.store === 's3' && !config.s3) throw noS3();
  const catalogue = await operations.catalogue(config);
  const view = await catalogue.list(signal);
  const { store } = options;
  const entries = view.entries.filter(({ where }) => !store || where.includes(store));
  if (options.json) terminal.out(JSON.stringify({ ...view, entries }, null, 2));
  else if (entries.length === 0) terminal.out(`no backups of ${config.name} are listed`);
  else printEntries(entries, context);
  for (const stray of view.strays) {
    if (store && stray.where !== store) continue;
    terminal.err(`note: ${printable(stray.name)} (${stray.where}): ${stray.reason}; left alone`);
  }
  for (const { where, error } of view.unreachable) {
    terminal.err(`${colour(terminal, 'red', 'error')} ${where}: ${printable(error.message)}`);
    terminal.err(`  hint: ${printable(error.hint)}`);
  }
  if (view.unreachable.length > 0) context.setExitCode(1);
}

function noS3(): DropbackError {
  return new DropbackError('request/no-s3', 'backups are not kept in S3: S3_BUCKET is not set', {
    hint: 'set it for both daemons; `dropback list` shows the local ones.',
  });
}

function printEntries(entries: readonly CatalogueEntry[], { terminal }: CliContext): void {
  const columns = [
    { title: 'id' },
    { title: 'age', right: true },
    { title: 'size', right: true },
    { title: 'rows', right: true },
    { title: 'where' },
    // Who restores one of them needs the identity: better known before it is needed.
    ...(entries.some(isEncrypted) ? [{ title: 'encrypted' }] : []),
    ...(isShared(entries) ? [{ title: 'made by' }] : []),
    ...(entries.some(inDoubt) ? [{ title: 'in doubt' }] : []),
  ];
  const rows = entries.map((entry) => [
    entry.id,
    entry.ageMs < -CLOCK_TOLERANCE_MS
      ? `ahead by ${durationText(-entry.ageMs)}`
      : durationText(entry.ageMs),
    bytesText(entry.bytes),
    countText(entry.manifest.tables.reduce((sum, table) => sum + table.rows, 0)),
    whereText(entry),
    ...(entries.some(isEncrypted) ? [isEncrypted(entry) ? 'age' : ''] : []),
    ...(isShared(entries) ? [entry.manifest.origin ?? ''] : []),
    inDoubt(entry) ?? '',
  ]);
  for (const line of tableLines(columns, rows)) terminal.out(line);
}

/** What a verification has found against it. */
function inDoubt({ state }: CatalogueEntry): string | undefined {
  const doubt = doubtOf(state);
  return doubt && [doubt.status, doubt.error?.code].filter(Boolean).join(': ');
}

function isEncrypted({ manifest }: CatalogueEntry): boolean {
  return manifest.archive.encryption !== undefined;
}

/** More than one db-backup has made them, and not one after the other. */
function isShared(entries: readonly CatalogueEntry[]): boolean {
  const manifests = entries.map(({ manifest }) => manifest);
  return madeByOthers(manifests.at(-1)?.origin, manifests).ids.length > 0;
}

function whereText({ where, state, uploaded }: CatalogueEntry): string {
  return `${where.join(' + ')}${state.uploads.s3 && !uploaded ? ' (not uploaded)' : ''}`;
}
