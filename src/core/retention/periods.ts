export type Period = 'hourly' | 'daily' | 'weekly' | 'monthly' | 'yearly';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** The number of the hour, day, week … in UTC that a time falls into, counted from 1970. */
export function periodNumber(period: Period, at: Date): number {
  switch (period) {
    case 'hourly':
      return Math.floor(at.getTime() / HOUR_MS);
    case 'daily':
      return Math.floor(at.getTime() / DAY_MS);
    case 'weekly':
      // 1970 began on a Thursday; ISO weeks begin on Monday.
      return Math.floor((at.getTime() / DAY_MS + 3) / 7);
    case 'monthly':
      return at.getUTCFullYear() * 12 + at.getUTCMonth();
    case 'yearly':
      return at.getUTCFullYear();
  }
}

/** How people call that period, for example `2026-11-22`, `2026-W47`. */
export function periodName(period: Period, at: Date): string {
  if (period === 'weekly') return isoWeek(at);
  const length = { hourly: 13, daily: 10, monthly: 7, yearly: 4 }[period];
  return at.toISOString().slice(0, length);
}

/** ISO 8601 week, for example `2026-W47`: it belongs to the year of its Thursday. */
export function isoWeek(at: Date): string {
  const midnight = Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate());
  const daysSinceMonday = (at.getUTCDay() + 6) % 7;
  const thursday = new Date(midnight + (3 - daysSinceMonday) * DAY_MS);
  const year = thursday.getUTCFullYear();
  const week = 1 + Math.floor((thursday.getTime() - Date.UTC(year, 0, 1)) / (7 * DAY_MS));
  return `${year}-W${String(week).padStart(2, '0')}`;
}
