import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { ensureFolder, writeDurably } from '../runtime/durable-files.ts';
import { type Alert, type AlertEvent, alertEvents } from './alert.ts';

/** What must outlive the process: undelivered alerts, and the troubles that were told. */
export interface OutboxState {
  readonly version: 1;
  /** Oldest first. */
  readonly pending: readonly PendingAlert[];
  readonly troubles: Readonly<Record<string, ToldTrouble>>;
  /** Ids of the latest alerts, delivered or not. */
  readonly told: readonly string[];
  /** What the flood gate holds back, by event. */
  readonly held: Readonly<Record<string, HeldAlerts>>;
  /** Alerts that were given up, and nobody was told so yet. */
  readonly givenUp: number;
}

export interface HeldAlerts {
  readonly count: number;
  /** ISO 8601, UTC: when the first of them was held back. */
  readonly since: string;
}

export interface PendingAlert {
  readonly alert: Alert;
  /** Those who have not taken it yet. */
  readonly waiting: readonly string[];
}

export interface ToldTrouble {
  /** The error's, or the event. */
  readonly code: string;
  /** ISO 8601, UTC. */
  readonly toldAt: string;
}

const events = Object.keys(alertEvents) as [AlertEvent, ...AlertEvent[]];
const short = z.string().max(2000);

/** Also what a relay accepts: bounded. */
export const alertSchema: z.ZodType<Alert> = z.object({
  format: z.literal('dropback-alert'),
  version: z.literal(1),
  id: z.string().regex(/^[A-Za-z0-9._-]{1,100}$/),
  event: z.enum(events),
  severity: z.enum(['info', 'warning', 'error']),
  title: short,
  lines: z.array(short).max(50),
  at: z.iso.datetime(),
  source: z.object({
    program: z.enum(['db-backup', 'db-restore', 'dropback']),
    name: short,
    database: short,
  }),
  error: z.object({ code: short, message: short, hint: short }).exactOptional(),
});

const stateSchema: z.ZodType<OutboxState> = z.object({
  version: z.literal(1),
  pending: z.array(z.object({ alert: alertSchema, waiting: z.array(short) })),
  troubles: z.record(z.string(), z.object({ code: short, toldAt: z.iso.datetime() })),
  told: z.array(short),
  held: z.record(z.string(), z.object({ count: z.int(), since: z.iso.datetime() })).default({}),
  givenUp: z.int().default(0),
});

export const EMPTY_OUTBOX: OutboxState = {
  version: 1,
  pending: [],
  troubles: {},
  told: [],
  held: {},
  givenUp: 0,
};

/** A missing file is an empty outbox. Throws where one can't be read or isn't ours. */
export async function readOutbox(file: string): Promise<OutboxState> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return EMPTY_OUTBOX;
    throw error;
  }
  return stateSchema.parse(JSON.parse(text));
}

export async function writeOutbox(file: string, state: OutboxState): Promise<void> {
  await ensureFolder(dirname(file));
  await writeDurably(file, `${JSON.stringify(state)}\n`);
}
