import type { Redactor } from '../runtime/redact.ts';
import { type Alert, type AlertSource, alertEvents, type News } from './alert.ts';
import type { HeldBack } from './flood.ts';

/** What people get: bounded, and without secrets. */
export function composeAlert(
  news: News,
  id: string,
  at: Date,
  { source, redactor }: { readonly source: AlertSource; readonly redactor: Redactor },
): Alert {
  const { error } = news;
  return {
    format: 'dropback-alert',
    version: 1,
    id,
    event: news.event,
    severity: alertEvents[news.event],
    title: redactor.line(news.title, 200),
    lines: (news.lines ?? []).slice(0, 20).map((line) => redactor.line(line)),
    at: at.toISOString(),
    source: { ...source, database: redactor.line(source.database) },
    ...(error
      ? {
          error: {
            code: error.code,
            message: redactor.line(error.message),
            hint: redactor.line(error.hint),
          },
        }
      : {}),
  };
}

const MOST_NAMES = 100;
const NAMES_A_LINE = 10;

/** What the flood gate had held back, as one message. */
export function newsOfHeld({ event, count, names }: HeldBack): News {
  const of = names.length > 1 ? `, of ${names.length} databases` : '';
  const title = `${count} more alerts of the kind ${event} within ten minutes${of}`;
  return { event: 'more-alerts', title, lines: [...linesOfNames(names), 'the log has them all'] };
}

function linesOfNames(names: readonly string[]): string[] {
  if (names.length < 2) return [];
  const lines: string[] = [];
  for (let n = 0; n < Math.min(names.length, MOST_NAMES); n += NAMES_A_LINE) {
    lines.push(names.slice(n, Math.min(n + NAMES_A_LINE, MOST_NAMES)).join(', '));
  }
  const left = names.length - MOST_NAMES;
  return left > 0 ? [...lines, `and ${left} others`] : lines;
}
