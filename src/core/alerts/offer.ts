import type { Alert } from './alert.ts';

/** What `/alerts` answers with. */
export interface AlertsOffer {
  /** Oldest first; the newest of all there are. */
  readonly alerts: readonly Alert[];
  /** Older ones that found no room. */
  readonly leftOut: number;
}

/** The bounds of one answer; whoever fetches it keeps to them too. */
export const MOST_OFFERED = 200;
export const MOST_OFFERED_BYTES = 768 * 1024;

/** The newest alerts that go into one answer. */
export function offerOf(all: readonly Alert[]): AlertsOffer {
  // By time, across databases; ids so that the order is the same each time.
  const sorted = [...all].sort((a, b) => compare(a.at, b.at) || compare(a.id, b.id));
  let bytes = 0;
  const alerts: Alert[] = [];
  for (const alert of sorted.reverse()) {
    bytes += Buffer.byteLength(JSON.stringify(alert)) + 1;
    if (alerts.length === MOST_OFFERED || bytes > MOST_OFFERED_BYTES) break;
    alerts.push(alert);
  }
  return { alerts: alerts.reverse(), leftOut: all.length - alerts.length };
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
