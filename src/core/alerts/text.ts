import type { Alert } from './alert.ts';

/** `[app] backup failed: …`: subjects, titles. */
export function titleOf({ source, title }: Alert): string {
  return source.name === '' ? title : `[${source.name}] ${title}`;
}

/** What follows the title, a fact a line. */
export function linesOf({ lines, error, source, at }: Alert): string[] {
  return [
    ...lines,
    ...(error ? [`${error.code}: ${error.message}`, `What to do: ${error.hint}`] : []),
    `${source.program}, ${source.database}, ${at}`,
  ];
}

/** For people who read plain text. */
export function textOf(alert: Alert): string {
  return [titleOf(alert), '', ...linesOf(alert)].join('\n');
}
